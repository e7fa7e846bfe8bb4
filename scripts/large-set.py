"""For scripts/large-set.sh: very many JPEG files quickly, and a program's memory while it runs.

    large-set.py make DIR COUNT             COUNT pictures to train on and 300 to test on, 256 x 256, in ten classes
    large-set.py run LIMIT_MIB COMMAND...   runs it with its output thrown away, 0: no limit, else in a control group of its own;
                                            a line of JSON: seconds, peak private memory and resident set, MiB
    large-set.py forget FILE...             what the system keeps in memory of them is dropped
"""
import io, json, os, pathlib, random, subprocess, sys, time

HEIGHT, WIDTH, BANDS, DRAWN = 256, 256, 16, 200


def make(root, count):
    """Each picture is put together of 16 bands of 200 drawn ones: bands between restart markers stand for themselves, so
    that nothing is encoded anew, and yet no two pictures have the same pixels."""
    import numpy
    from PIL import Image

    fy, fx = numpy.fft.fftfreq(HEIGHT)[:, None], numpy.fft.rfftfreq(WIDTH)[None]
    falling = 1 / numpy.maximum(numpy.hypot(fy, fx), 1 / WIDTH)
    bands = []
    for i in range(DRAWN):
        rng = numpy.random.default_rng(i)
        planes = [numpy.fft.irfft2(numpy.fft.rfft2(rng.normal(size=(HEIGHT, WIDTH))) * falling, (HEIGHT, WIDTH)) for _ in range(3)]
        planes = [planes[0] + 0.4 * p for p in planes]
        pixels = numpy.clip(numpy.stack([120 + 50 * p / p.std() for p in planes], -1), 0, 255).astype(numpy.uint8)
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "JPEG", quality=70, subsampling=2, restart_marker_rows=1)
        data = out.getvalue()
        start = data.index(b"\xff\xda")
        start += 2 + int.from_bytes(data[start + 2:start + 4], "big")
        head, scan, found = data[:start], data[start:-2], [0]
        for at in range(len(scan) - 1):
            if scan[at] == 0xFF and 0xD0 <= scan[at + 1] <= 0xD7:
                found.append(at + 2)
        assert len(found) == BANDS, found
        bands.append([scan[a:b - 2] for a, b in zip(found, found[1:] + [len(scan) + 2])])
    draw = random.Random(1)
    for i in range(count + 300):
        folder = root / ("train" if i < count else "test") / f"class{i % 10}"
        if i < 10 or count <= i < count + 10:
            folder.mkdir(parents=True, exist_ok=True)
        parts = [head]
        for k in range(BANDS):
            parts += [draw.choice(bands)[k], bytes([0xFF, 0xD0 + k % 8]) if k < BANDS - 1 else b"\xff\xd9"]
        (folder / f"{i:06}.jpg").write_bytes(b"".join(parts))


def group(limit):
    """A control group below our own, of version 2 or 1, that may hold `limit` MiB, pages of files included."""
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if controllers == "memory":
            parent, key = pathlib.Path("/sys/fs/cgroup/memory" + path), "memory.limit_in_bytes"
        elif number == "0" and pathlib.Path("/sys/fs/cgroup" + path, "cgroup.subtree_control").exists():
            parent, key = pathlib.Path("/sys/fs/cgroup" + path), "memory.max"
        else:
            continue
        made = parent / f"gtn-large-set-{os.getpid()}"
        try:
            made.mkdir()
            (made / key).write_text(str(limit << 20))
            return made
        except OSError as error:
            if made.exists():
                made.rmdir()
            print(f"large-set: {made}: {error}", file=sys.stderr)
    sys.exit("large-set: no control group with a limit of memory can be made here (it takes root)")


def run(limit, command):
    made = group(limit) if limit else None
    join = (lambda: (made / "cgroup.procs").write_text(str(os.getpid()))) if made else None
    start, private, resident = time.time(), 0, 0
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=join)
    try:
        while child.poll() is None:
            try:
                lines = pathlib.Path(f"/proc/{child.pid}/smaps_rollup").read_text().splitlines()[1:]
                sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
                # Pages of the mapped cache are the system's to take back; memory of our own is not backed by a file.
                private = max(private, sizes.get("Anonymous", 0))
                resident = max(resident, sizes.get("Rss", 0))
            except (OSError, IndexError, ValueError):
                pass  # it has just ended
            time.sleep(0.25)
    finally:
        child.kill()
        child.wait()
        if made:
            most = next((made / name for name in ["memory.max_usage_in_bytes", "memory.peak"] if (made / name).exists()), None)
            most = int(most.read_text()) >> 20 if most else None
            made.rmdir()
    if child.returncode:
        sys.exit(f"large-set: {command} ended with {child.returncode}")
    said = {"seconds": round(time.time() - start, 1), "private": private >> 10, "resident": resident >> 10}
    print(json.dumps(said | ({"group": most} if made else {})))


def forget(paths):
    for path in paths:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if sys.argv[1] == "make":
    make(pathlib.Path(sys.argv[2]), int(sys.argv[3]))
elif sys.argv[1] == "run":
    run(int(sys.argv[2]), sys.argv[3:])
else:
    forget(sys.argv[2:])
