#!/usr/bin/env python3
"""SciPy's values of the statistics in core: `python3 scripts/statistics-peer.py > core/src/measure/fixtures/statistics.json`.

Needs SciPy (pip install scipy; the file in the repository was made with 1.17.1). Rows are arguments, then results."""
import itertools
import json
import random

from scipy import stats

rows = {}
rows["t_quantile"] = [
    [p, df, float(stats.t.ppf(p, df))]
    for p in (0.8, 0.9, 0.975, 0.995, 0.9999)
    for df in (1, 1.5, 2, 3, 4.08, 7, 10, 29, 30, 31, 40, 100, 1000)
]
rows["t_quantile"].append([0.975, 10000, float(stats.t.ppf(0.975, 10000))])
counts = [(0, 1), (1, 1), (0, 10), (1, 10), (9, 10), (10, 10), (3, 50), (250, 500), (1999, 2000), (1702, 2000), (7234, 10000), (49990, 50000)]
rows["clopper_pearson"] = []
for hits, n in counts:
    ci = stats.binomtest(hits, n).proportion_ci(0.95, method="exact")
    rows["clopper_pearson"].append([hits, n, float(ci.low), float(ci.high)])
rows["binomial_cdf"] = [
    [k, n, p, float(stats.binom.cdf(k, n, p))]
    for n, k, p in ((1, 0, 0.3), (10, 3, 0.25), (28, 3, 0.25), (28, 12, 0.25), (50, 40, 0.9), (200, 197, 0.99), (5000, 2500, 0.5))
]


def walsh_interval(x):
    """The values that SciPy's exact signed-rank test does not reject at 5 %: their ends."""
    walsh = sorted((a + b) / 2 for a, b in itertools.combinations_with_replacement(x, 2))
    gap = min(b - a for a, b in zip(walsh, walsh[1:]))

    def kept(centre):
        return stats.wilcoxon([v - centre for v in x], method="exact").pvalue > 0.05

    low = next(w for w in walsh if kept(w + gap / 3))
    high = next(w for w in reversed(walsh) if kept(w - gap / 3))
    return low, high, (walsh[(len(walsh) - 1) // 2] + walsh[len(walsh) // 2]) / 2


random.seed(5)
rows["signed_rank"] = []
for n in (6, 7, 8, 9, 10, 12, 15, 16, 20, 25, 30, 40, 50):
    x = [round(random.gauss(0.1, 1.0), 6) for _ in range(n)]
    low, high, centre = walsh_interval(x)
    rows["signed_rank"].append(x + [centre, low, high])

rows["t_test"] = []
for n in (2, 3, 5, 12, 40):
    x = [round(random.gauss(0.5, 1.0), 6) for _ in range(n)]
    test = stats.ttest_1samp(x, 0.0)
    ci = test.confidence_interval(0.95)
    rows["t_test"].append(x + [float(test.pvalue), float(ci.low), float(ci.high)])

lines = ",\n".join(
    f'  "{name}": [\n' + ",\n".join("    " + json.dumps(row) for row in table) + "\n  ]" for name, table in rows.items()
)
print("{\n" + lines + "\n}")
