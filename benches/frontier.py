#!/usr/bin/env python3
"""The fits of a frontier, scikit-learn beside this program, in turns on the same arrays.

usage: frontier.py BENCH_BINARY [ROUNDS]   (BENCH_BINARY: what `cargo bench --no-run --bench frontier` names)

Draws 100,000 rows x 64 features with heavy-tailed weights; fits 7 caps x 5 folds without intercept at a ridge of 1 with
scikit-learn's newton-cholesky and with the binary; prints seconds of the 35 fits, the sums of the objectives, and the ratio.
Needs numpy and scikit-learn.
"""
import json, os, subprocess, sys, tempfile, time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, str(os.cpu_count()))
import numpy as np, sklearn
from sklearn.linear_model import LogisticRegression

CAPS, FOLDS = [np.inf, 50, 20, 10, 5, 3, 2], 5


def draw(folder, n=100_000, d=64):
    g = np.random.default_rng(7)
    mix = g.standard_normal((d, d)) * 0.15 + np.eye(d) * np.linspace(0.3, 1.5, d)
    x = (g.standard_normal((n, d)) - g.standard_normal((n, d))) @ mix
    b = g.standard_normal(d) * 0.15
    y = (g.random(n) < 1 / (1 + np.exp(-x @ b))).astype(np.int8)
    w, fold = np.exp(1.2 * g.standard_normal(n)), (np.arange(n) % FOLDS).astype(np.int8)
    for name, values in dict(x=x, y=y, w=w, fold=fold).items():
        np.save(os.path.join(folder, f"bt_{name}.npy"), values)
    return x, y, w, fold


def scikit_learn(x, y, w, fold):
    seconds, total = 0.0, 0.0
    for cap in CAPS:
        for k in range(FOLDS):
            rows = fold != k
            xs, ys, s = x[rows], y[rows], np.minimum(w[rows], cap)
            s = s / s.mean()
            started = time.perf_counter()
            model = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-8, max_iter=2000, solver="newton-cholesky")
            b = model.fit(xs, ys, sample_weight=s).coef_[0]
            seconds += time.perf_counter() - started
            total += (s * np.logaddexp(0, -(2.0 * ys - 1) * (xs @ b))).sum() + 0.5 * b @ b
    return seconds, total


binary, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2
with tempfile.TemporaryDirectory() as folder:
    problem = draw(folder)
    ours, theirs = [], []
    for _ in range(rounds):
        seconds, objective = scikit_learn(*problem)
        theirs.append(seconds)
        run = subprocess.run([binary], env=dict(os.environ, COUNTERWEIGHT_BENCH_DATA=folder), capture_output=True, check=True)
        own = json.loads(run.stdout)
        ours.append(own["seconds"])
        print(f"scikit-learn {sklearn.__version__}: {seconds:.2f} s, sum of objectives {objective:.6f}; "
              f"counterweight: {own['seconds']:.2f} s, {own['sum_objective']:.6f} (worst relative gradient {own['worst_gradient']:.1e})")
    print(f"ratio of the best: {min(theirs) / min(ours):.2f}")
