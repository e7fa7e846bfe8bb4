"""A made-up fleet of DEVICES x BUDGETS predicted devices, to see how search --fleet bears it:

    python3 scripts/make-fleet.py 200 5 > fleet.toml
"""
import random, sys

devices, budgets = map(int, sys.argv[1:])
random.seed(1)
print('schema = "gtn.fleet/1"')
for device in range(devices):
    for budget in range(budgets):
        target, count = random.choice(["rpi5", "host"]), random.randint(1, 9)
        latency, memory = 0.1 + 2 * random.random(), random.choice([0.2, 0.5, 1, 4])
        print(f'\n[[device]]\nname = "d{device}-{budget}"\ntarget = "{target}"\ncount = {count}')
        print(f"[device.budget]\nlatency_ms = {latency:.3f}\nmemory_mib = {memory}")
