"""The textbook form: the same example as people run it today."""

import argparse
import time

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import MCMC, NUTS


def textbook_model(X, Y, D_H):
    """The model of bnn.py, with rows for data: X is (N, D_X), Y is (N, 1)."""
    N, D_X = X.shape
    w1 = numpyro.sample("w1", dist.Normal(jnp.zeros((D_X, D_H)), jnp.ones((D_X, D_H))))
    w2 = numpyro.sample("w2", dist.Normal(jnp.zeros((D_H, D_H)), jnp.ones((D_H, D_H))))
    w3 = numpyro.sample("w3", dist.Normal(jnp.zeros((D_H, 1)), jnp.ones((D_H, 1))))
    z1 = jnp.tanh(jnp.matmul(X, w1))  # (N, D_H)
    z2 = jnp.tanh(jnp.matmul(z1, w2))  # (N, D_H)
    z3 = jnp.matmul(z2, w3)  # (N, 1)
    prec_obs = numpyro.sample("prec_obs", dist.Gamma(3.0, 1.0))
    sigma_obs = 1.0 / jnp.sqrt(prec_obs)
    with numpyro.plate("data", N):
        numpyro.sample("Y", dist.Normal(z3, sigma_obs).to_event(1), obs=Y)


def textbook_data(N):
    """The data of bnn.py, with jax.numpy."""
    np.random.seed(0)
    powers = jnp.arange(3)
    x = jnp.linspace(-1, 1, N)
    X = jnp.power(x[:, np.newaxis], powers)
    W = 0.5 * np.random.randn(3)
    Y = jnp.dot(X, W)
    Y += 0.5 * jnp.power(0.5 + x, 2.0) * jnp.sin(4.0 * x)
    Y += 0.05 * np.random.randn(N)
    Y = Y[:, np.newaxis]
    Y -= jnp.mean(Y)
    Y /= jnp.std(Y)
    x_test = jnp.linspace(-1.3, 1.3, 500)
    X_test = jnp.power(x_test[:, np.newaxis], powers)
    return X, Y, X_test


def predict(rng_key, draw, X):
    """New observations Y at X from one draw."""
    seeded = handlers.seed(textbook_model, rng_key)
    at_draw = handlers.substitute(seeded, draw)
    trace = handlers.trace(at_draw).get_trace(X, None, 5)
    return trace["Y"]["value"]


def plot(X, Y, X_test, Y_draws):
    """Data, mean prediction, and a band that holds 90 % of the predictions."""
    mean = jnp.mean(Y_draws, axis=0)
    low, high = np.percentile(Y_draws, [5.0, 95.0], axis=0)
    fig, ax = plt.subplots(figsize=(8, 6), constrained_layout=True)
    ax.plot(X[:, 1], Y[:, 0], "kx")
    ax.fill_between(X_test[:, 1], low, high, color="lightblue")
    ax.plot(X_test[:, 1], mean, "blue", ls="solid", lw=2.0)
    ax.set(xlabel="X", ylabel="Y", title="Mean predictions with 90% CI")
    plt.savefig("bnn_plot.pdf")


def worst_n_eff(draws, X):
    """The worst n_eff of f, and that of prec_obs; draws are (C, S, ...)."""
    draws = jax.device_get(draws)
    z1 = np.tanh(X @ draws["w1"])
    z2 = np.tanh(z1 @ draws["w2"])
    f = z2 @ draws["w3"]
    return {
        "f": np.min(effective_sample_size(f)),
        "prec_obs": effective_sample_size(draws["prec_obs"]),
    }


def parse_args():
    """The flags of bnn.py that the benchmark needs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--num-warmup", type=int)
    parser.add_argument("--num-samples", type=int)
    parser.add_argument("--num-chains", type=int)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main():
    """The whole example, from data to picture."""
    args = parse_args()
    numpyro.set_platform("cpu")
    numpyro.set_host_device_count(args.num_chains)
    X, Y, X_test = textbook_data(100)
    rng_key, rng_key_predict = jax.random.split(jax.random.PRNGKey(args.seed))

    start = time.time()
    mcmc = MCMC(
        NUTS(textbook_model),
        num_warmup=args.num_warmup,
        num_samples=args.num_samples,
        num_chains=args.num_chains,
        progress_bar=False,
    )
    mcmc.run(rng_key, X, Y, 5)
    draws = jax.block_until_ready(mcmc.get_samples())
    print("\nMCMC elapsed time:", time.time() - start)
    mcmc.print_summary()

    num_draws = args.num_samples * args.num_chains
    keys = jax.random.split(rng_key_predict, num_draws)
    predict_all = jax.vmap(lambda key, draw: predict(key, draw, X_test))
    Y_draws = predict_all(keys, draws)
    plot(X, Y, X_test, Y_draws[..., 0])

    # as bnn.py prints it; f for the benchmark only
    by_chain = mcmc.get_samples(group_by_chain=True)
    for name, n_eff in worst_n_eff(by_chain, np.asarray(X)).items():
        print(f"{name} 0.0 {n_eff:.0f}")


if __name__ == "__main__":
    main()
