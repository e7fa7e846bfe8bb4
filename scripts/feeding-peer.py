"""Pictures for scripts/feeding-peer.sh, torchvision's images a second, and the table.

    feeding-peer.py make DIR COUNT                         JPEG files of 500 x 375 in two classes, the same bytes each time
    feeding-peer.py time DIR SIZE SECONDS pil|tensor [--jitter]    one thread; a line of JSON: images, wall and CPU seconds
    feeding-peer.py train DIR STEPS COMMAND...             of gtn-train: images and CPU seconds of STEPS steps of 64 without start and
                                                           end, and the images a second that it says
    feeding-peer.py table FILE                             of lines `way<TAB>round<TAB>JSON`
"""
import collections, io, json, pathlib, statistics, sys, time

BATCH = 64


def make(root, count):
    import numpy
    from PIL import Image

    height, width = 375, 500
    fy, fx = numpy.fft.fftfreq(height)[:, None], numpy.fft.rfftfreq(width)[None]
    falling = 1 / numpy.maximum(numpy.hypot(fy, fx), 1 / width)  # amplitude falls as 1 / frequency, as in photographs

    def plane(rng):
        plane = numpy.fft.irfft2(numpy.fft.rfft2(rng.normal(size=(height, width))) * falling, (height, width))
        return plane / plane.std()

    for i in range(count):
        rng = numpy.random.default_rng(i)
        grey = plane(rng)
        colours = [120 + 45 * (grey + 0.4 * plane(rng)) + 3 * rng.normal(size=grey.shape) for _ in range(3)]
        image = Image.fromarray(numpy.clip(numpy.stack(colours, -1), 0, 255).astype(numpy.uint8))
        folder = root / ["one", "two"][i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{i:04}.jpg", quality=90)


def measure(root, size, seconds, way, jitter):
    import torch
    from PIL import Image
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    torch.manual_seed(1)
    steps = [v2.RandomResizedCrop(size, scale=(0.25, 1.0), antialias=True), v2.RandomHorizontalFlip()]
    steps += [v2.ColorJitter(0.3, 0.3, 0.3)] if jitter else []
    steps += [v2.ToImage()] if way == "pil" else []
    steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    transform = v2.Compose(steps)
    if way == "tensor":
        from torchvision.io import ImageReadMode, decode_image, read_file
        read = lambda path: decode_image(read_file(str(path)), ImageReadMode.RGB)
    else:
        read = lambda path: Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    files, images = sorted(root.rglob("*.jpg")), 0
    start, before = time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        torch.stack([transform(read(files[(images + i) % len(files)])) for i in range(BATCH)])
        images += BATCH
    print(json.dumps({"images": images, "wall": time.perf_counter() - start, "cpu": time.process_time() - before}))


def train(run, steps, command):
    import resource, shutil, subprocess

    def once(steps):
        shutil.rmtree(run, ignore_errors=True)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*command, "--set", f"max_steps={steps}", "--out", str(run)], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    first = once(2)
    cpu = once(2 + steps) - first
    rate = json.loads((run / "log.jsonl").read_text().splitlines()[-1])["images_per_s"]
    print(json.dumps({"images": BATCH * steps, "cpu": cpu, "rate": rate}))


def table(path):
    rates, walls = collections.defaultdict(dict), collections.defaultdict(list)
    for line in pathlib.Path(path).read_text().splitlines():
        way, number, said = line.split("\t")
        said = json.loads(said)
        rates[way][number] = said["images"] / said["cpu"]
        walls[way].append(said["images"] / said["wall"])
    show = lambda values, form: f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"
    print("| way | images a CPU second, median (smallest to largest) | a second of the clock, median | beside torchvision on PIL |")
    print("| --- | ---: | ---: | ---: |")
    for way, rounds in rates.items():
        peer = rates.get("torchvision, PIL" + (", jitter" if way.endswith("jitter") else ""), {})
        ratios = [rate / peer[n] for n, rate in rounds.items() if n in peer]
        ratio = show(ratios, ".2f") if ratios and not way.startswith("torchvision, PIL") else "-"
        print(f"| {way} | {show(rounds.values(), '.0f')} | {statistics.median(walls[way]):.0f} | {ratio} |")


if sys.argv[1] == "make":
    make(pathlib.Path(sys.argv[2]), int(sys.argv[3]))
elif sys.argv[1] == "time":
    measure(pathlib.Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5], "--jitter" in sys.argv)
elif sys.argv[1] == "train":
    train(pathlib.Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
else:
    table(sys.argv[2])
