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
    X = jnp.power(jnp.linspace(-1, 1, N)[:, np.newaxis], jnp.arange(3))
    W = 0.5 * np.random.randn(3)
    Y = jnp.dot(X, W) + 0.5 * jnp.power(0.5 + X[:, 1], 2.0) * jnp.sin(4.0 * X[:, 1])
    Y += 0.05 * np.random.randn(N)
    Y = Y[:, np.newaxis]
    Y -= jnp.mean(Y)
    Y /= jnp.std(Y)
    X_test = jnp.power(jnp.linspace(-1.3, 1.3, 500)[:, np.newaxis], jnp.arange(3))
    return X, Y, X_test


def worst_n_eff(draws, X):
    """The worst n_eff of f, and that of prec_obs; draws are (C, S, ...)."""
    w1, w2, w3 = (np.asarray(draws[name]) for name in ["w1", "w2", "w3"])
    f = np.tanh(np.tanh(X @ w1) @ w2) @ w3
    sites = {"f": f, "prec_obs": np.asarray(draws["prec_obs"])}
    return {name: np.min(effective_sample_size(x)) for name, x in sites.items()}


def main():
    """The whole example, from data to picture."""
    parser = argparse.ArgumentParser()
    for flag in ["num-warmup", "num-samples", "num-chains", "seed"]:
        parser.add_argument(f"--{flag}", type=int, default=0)
    args = parser.parse_args()
    numpyro.set_platform("cpu")
    numpyro.set_host_device_count(args.num_chains)
    X, Y, X_test = textbook_data(100)
    key, key_predict = jax.random.split(jax.random.PRNGKey(args.seed))
    start = time.time()
    sizes = {name: value for name, value in vars(args).items() if name != "seed"}
    mcmc = MCMC(NUTS(textbook_model), **sizes, progress_bar=False)
    mcmc.run(key, X, Y, 5)
    jax.block_until_ready(mcmc.get_samples())
    print("\nMCMC elapsed time:", time.time() - start)
    mcmc.print_summary()

    def predict(key, draw, X):
        model = handlers.substitute(handlers.seed(textbook_model, key), draw)
        return handlers.trace(model).get_trace(X, None, 5)["Y"]["value"]

    draws = mcmc.get_samples()
    keys = jax.random.split(key_predict, args.num_samples * args.num_chains)
    Y_draws = jax.vmap(lambda key, draw: predict(key, draw, X_test))(keys, draws)
    band = np.percentile(Y_draws[..., 0], [5.0, 95.0], axis=0)
    fig, ax = plt.subplots(figsize=(8, 6), constrained_layout=True)
    ax.plot(X[:, 1], Y[:, 0], "kx")
    ax.fill_between(X_test[:, 1], *band, color="lightblue")
    ax.plot(X_test[:, 1], jnp.mean(Y_draws[..., 0], axis=0), "blue", ls="solid", lw=2.0)
    ax.set(xlabel="X", ylabel="Y", title="Mean predictions with 90% CI")
    plt.savefig("bnn_plot.pdf")

    # as bnn.py prints it; f for the benchmark only
    draws = mcmc.get_samples(group_by_chain=True)
    for name, value in worst_n_eff(draws, np.asarray(X)).items():
        print(f"{name} 0.0 {value:.0f}")


if __name__ == "__main__":
    main()
