"""The tables of RESULTS.md: a function measures each, its docstring is the text."""

import itertools
import tempfile
from statistics import fmean, median

from processes import RATES, SCRIPTS, call, whole_run
from tabulate import tabulate


def runs(python, plan):
    """Whole runs

    1000 + 2000 draws, up to 4 seeds; `f` and `prec_obs` are `n_eff` per second of the
    printed `MCMC elapsed time`, warm-up and compilation included.
    """
    rows = []
    with tempfile.TemporaryDirectory() as cache:  # warm for the same settings again
        for what, (*settings, seeds, keys) in plan.items():
            found = {which: [] for which in SCRIPTS}
            for seed, which in itertools.product(range(seeds), SCRIPTS):
                env = {"JAX_COMPILATION_CACHE_DIR": f"{cache}/{which}{settings}{seed}"}
                run = whole_run(python, which, *settings, "--seed", seed, **env)
                found[which].append(run)
            for key in keys:
                average = fmean if key in RATES else median
                row = {which: average(x[key] for x in found[which]) for which in found}
                for which in ["ours", "--marginalize"]:
                    row[f"{which} / textbook"] = row[which] / row["textbook"]
                rows.append({"": f"{what}, {key}", **row})
    return markdown(rows)


def peers(python, plan):
    """Peers

    `n_eff` per second with 1000 + 2000 draws, warm-up and compilation included. Each
    peer has its own natural formulation: PyMC and nutpie a PyMC model with rows for
    data; BlackJAX a log density in plain JAX, written by hand, with rows for data,
    matrix products and `log(prec_obs)`. PyMC 6 samples by nutpie where it is there.
    """
    *draws, seeds, names = plan
    found = {name: [] for name in ["ours", *names]}
    for seed in range(seeds):
        found["ours"].append(whole_run(python, "ours", *draws, 1, "--seed", seed))
        for name in names:
            rates = call(python, "peers.n_eff_a_second", name, seed, *draws)
            found[name].append(rates)
    rows = [{"": name} for name in found]
    for row, rates in zip(rows, found.values(), strict=True):
        row |= {key: fmean(x[key] for x in rates) for key in RATES}
    return markdown(rows)


def layers(python, plan):
    """A layer: the sum of products, or `@`?

    Microseconds a leapfrog step, with one way in every layer, and with `bnn.linear`,
    which chooses.
    """
    rows = [{"data": N, "units": D_H} for N, D_H in plan]
    for row, size in zip(rows, plan, strict=True):
        for way in ["textbook", "@", "sum", "ours"]:
            row[way] = call(python, "loops.sampling", way, *size, 100, 100)["step"]
    return markdown(rows)


def marginalize(python, plan):
    """For which sizes does `--marginalize` pay?

    Seconds to compile NUTS, ahead of time, and to sample with 3 seeds: warm-up, draws
    and, with `--marginalize`, their `w3`; then microseconds a leapfrog step and, of
    these, what `w3_posterior` takes. The second table has `n_eff` per second of
    sampling and, *first*, of compilation and sampling.
    """
    costs, gains = [], []
    for (N, D_H), draws in plan.items():
        ours, theirs = (
            call(python, "loops.sampling", which, N, D_H, *draws)
            for which in ["ours", "--marginalize"]
        )
        cost = {"data": N, "units": D_H, "draws": "{} + {}".format(*draws)}
        gain = dict(cost)
        for key, value in ours.items():
            row = cost if key in ["compilation", "sampling", "step"] else gain
            row |= {f"{key}, ours": value, f"{key}, --marginalize": theirs[key]}
            row[f"{key}, ratio"] = theirs[key] / value
        costs.append(cost | {"w3_posterior": theirs["w3_posterior"]})
        gains.append(gain)
    return markdown(costs) + "\n\n" + markdown(gains)


def devices(python, plan):
    """Chains that share host devices

    Seconds of whole runs with 100 + 100 draws, where the user's
    `XLA_FLAGS=--xla_force_host_platform_device_count=` says how many devices there are.
    """
    rows = []
    for (*settings, repeats), many in plan.items():
        seconds = {many: [], 1: []}
        for count in [many, 1] * repeats:
            flags = f"--xla_force_host_platform_device_count={count}"
            run = whole_run(python, "ours", *settings, XLA_FLAGS=flags)
            seconds[count].append(run["seconds"])
        row = {"chains": settings[2], "devices": many}
        row |= {"seconds": median(seconds[many]), "on one device": median(seconds[1])}
        rows.append(row | {"ratio": row["seconds"] / row["on one device"]})
    return markdown(rows)


def predictions(python, plan):
    """Memory of predictions

    MiB that `bnn.for_all_draws` takes at its peak, above those of the predictions.
    """
    row = {"draws": plan[0], "points": plan[1]}
    return markdown([row | call(python, "loops.prediction_memory", *plan)])


def gpu(python, plan):
    """A GPU

    Seconds of whole first runs with 50 + 50 draws; on the GPU, chains draw in step.
    """
    rows = [{"chains": settings[2]} for settings in plan]
    for row, settings in zip(rows, plan, strict=True):
        for device, scripts in {
            "gpu": SCRIPTS,
            "cpu": ["ours", "--marginalize"],
        }.items():
            for which in scripts:
                run = whole_run(python, which, *settings, "--device", device)
                row[f"{which}, {device}"] = run["seconds"]
    return markdown(rows)


def markdown(rows):
    """A table in Markdown, with three digits: 1040 rather than 1.04e+03."""
    cells = [
        [f"{float(f'{x:.3g}'):g}" if isinstance(x, float) else x for x in row.values()]
        for row in rows
    ]
    return tabulate(cells, list(rows[0]), "github", disable_numparse=True)
