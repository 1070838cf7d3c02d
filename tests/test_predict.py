"""Does the vmapped prediction equal the network, plus noise that no draws share?"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from helpers import (
    X_GOOD,
    Y_GOOD,
    forward,
    predict_all,
    random_parameters,
    repeated,
    stdout_of,
    two_chains,
)
from numpyro.infer import Predictive

import bnn

X, *_ = bnn.get_data(N=40)
FLOAT32 = {"rtol": 1e-5, "atol": 1e-5}  # its errors in f, which is of order 1


def random_draws(S):
    """Parameters at random, and draws (1, S, ...) that hold them."""
    rng = np.random.default_rng(0)
    points = [random_parameters(rng, 3, 5) for _ in range(S)]
    draws = {}
    for name in ["w1", "w2", "w3", "prec_obs"]:
        one_chain = [[point[name] for point in points]]
        draws[name] = np.array(one_chain)
    return points, draws


def test_f_is_a_numpy_forward_pass_whatever_f_is_among_the_draws_and_Y_adds_the_noise():
    points, draws = random_draws(2000)
    draws["f"] = np.full((1, 2000, 100, 1), 1e6)
    f, Y = predict_all(draws, X)
    expected = [forward(X, point) for point in points]
    np.testing.assert_allclose(f[0], expected, **FLOAT32)
    precision = draws["prec_obs"].reshape(2000, 1, 1)
    noise = (Y[0] - expected) * precision**0.5
    # 5 standard errors of the mean and the variance of n standard normals
    n = noise.size
    assert abs(noise.mean()) < 5 / n**0.5
    assert abs(noise.var() - 1) < 5 * (2 / n) ** 0.5


def test_all_chains_are_predicted_and_no_two_draws_chains_or_inputs_share_their_noise():
    point = random_parameters(np.random.default_rng(5), 3, 5)
    draws = repeated(point, 3, 500)  # 3 chains of draws with the same f
    f, Y = predict_all(draws, X)
    assert f.shape == Y.shape == (3, 500, 40, 1)
    np.testing.assert_allclose(f - forward(X, point), 0, atol=1e-5)
    assert len(np.unique(Y)) > 0.99 * Y.size  # float32 has rare ties
    noise = (Y - f)[..., 0]  # (3, 500, 40)
    standard_normal = noise * point["prec_obs"] ** 0.5
    # correlations of neighbours among draws, chains and inputs: 5 standard errors of 0
    for axis in range(3):
        along = np.moveaxis(standard_normal, axis, 0)
        products = along[1:] * along[:-1]
        assert abs(np.mean(products)) < 5 / products.size**0.5


def booleans_beside_numbers(X):
    """A frame of two types, which is an array of objects."""
    return pd.DataFrame({"ones": X[:, 0] == 1, "x": X[:, 1]})


@pytest.mark.parametrize(
    "kind", [pd.DataFrame, np.ndarray.tolist, booleans_beside_numbers]
)
def test_other_kinds_of_inputs_are_predicted_alike(kind):
    draws = two_chains().get_samples(group_by_chain=True)
    ours = predict_all(draws, X_GOOD, D_H=2)
    theirs = predict_all(draws, kind(X_GOOD), D_H=2)
    np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def prior():
    """Draws of the prior, (1, 6, ...), with f and Y at X_GOOD."""
    predictive = Predictive(bnn.model, num_samples=6)
    draws = predictive(jax.random.key(0), X_GOOD, None, 2)
    assert draws["Y"].shape == (6, 9, 1)
    return {name: values[None] for name, values in draws.items()}


def test_draws_of_the_prior_are_predicted_with_new_observations(prior):
    f, Y = predict_all(prior, X_GOOD, D_H=2)
    np.testing.assert_allclose(f, prior["f"], rtol=1e-4, atol=1e-4)
    assert not np.any(Y == prior["Y"])


def test_draws_of_the_prior_are_predicted_at_other_inputs(prior):
    x = np.linspace(-1, 1, 500)
    X_new = x[:, None] ** np.arange(2)
    f, Y = predict_all(prior, X_new, D_H=2)
    assert f.shape == Y.shape == (1, 6, 500, 1)


@pytest.mark.parametrize("unknown", ["w1", "w2", "w3", "prec_obs"])
def test_an_unknown_that_the_draws_lack_is_told(prior, unknown):
    others = {name: prior[name] for name in prior if name != unknown}
    with pytest.raises(ValueError, match=f"draw must fix .*'{unknown}'"):
        predict_all(others, X_GOOD, D_H=2)


def test_the_callers_draw_stays_as_it_was(prior):
    draw = {name: values[0, 0] for name, values in prior.items()}
    draw["Y"] = np.zeros((9, 1))
    before = set(draw)
    bnn.predict(bnn.model, jax.random.key(0), draw, X_GOOD, 2)
    assert set(draw) == before


def test_an_unknown_under_another_name_is_told(prior):
    renamed = {**prior, "precision": prior["prec_obs"]}
    del renamed["prec_obs"]
    with pytest.raises(ValueError, match="draw must fix .*'prec_obs'"):
        predict_all(renamed, X_GOOD, D_H=2)


def deeper(inputs, observations, units):
    """The network with a weight and a bias more, and noise under another name."""
    N, D_X = inputs.shape
    outer = numpyro.sample("outer", dist.Normal(np.zeros((D_X, units)), 1.0))
    inner = numpyro.sample("inner", dist.Normal(np.zeros((units, 1)), 1.0))
    bias = numpyro.sample("B", dist.Normal(0.0, 1.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    z = jnp.tanh(bnn.linear(outer, inputs.T))
    f = numpyro.deterministic("f", bias + bnn.linear(inner, z).T)
    with numpyro.plate("data", N):
        numpyro.sample("Y", dist.Normal(f, sigma).to_event(1), obs=observations)


def test_sites_of_other_names_are_fixed_at_the_draw():
    rng = np.random.default_rng(0)
    point = {
        "outer": rng.standard_normal((2, 3)),
        "inner": rng.standard_normal((3, 1)),
        "B": 0.5,
        "sigma": 1e-3,
    }
    draws = repeated(point, 2, 30)
    f, Y = predict_all(draws, X_GOOD, D_H=3, model=deeper)
    z = np.tanh(X_GOOD @ point["outer"])
    expected = 0.5 + z @ point["inner"]
    np.testing.assert_allclose(f - expected, 0, atol=1e-5)
    # 6 standard deviations of the noise
    np.testing.assert_allclose(Y - expected, 0, atol=6e-3)
    assert len(np.unique(Y - f)) > 100


@pytest.mark.parametrize("unknown", ["outer", "inner", "B", "sigma"])
def test_unknowns_of_other_names_that_are_missing_are_told(unknown):
    draw = {
        "outer": np.ones((2, 3)),
        "inner": np.ones((3, 1)),
        "B": 0.5,
        "sigma": 1.0,
    }
    del draw[unknown]
    with pytest.raises(ValueError, match=f"'{unknown}'"):
        bnn.predict(deeper, jax.random.key(0), draw, X_GOOD, 3)


def test_the_noise_is_that_of_the_key(prior):
    draw = {name: values[0, 0] for name, values in prior.items()}

    def noise(seed):
        key = jax.random.key(seed)
        f, Y = bnn.predict(bnn.model, key, draw, X_GOOD, 2)
        return Y - f

    np.testing.assert_array_equal(noise(0), noise(0))
    assert not np.any(noise(0) == noise(1))


UNGROUPED = {
    "of scalars and arrays": {"prec_obs": np.ones(6), "w1": np.ones((6, 2, 2))},
    "of a scalar": {"prec_obs": np.ones(6)},
    "of two arrays": {"w1": np.ones((6, 2, 2)), "f": np.ones((6, 9, 1))},
}


@pytest.mark.parametrize("draws", UNGROUPED.values(), ids=UNGROUPED)
def test_draws_must_be_grouped_by_chain(draws):
    with pytest.raises(ValueError, match=r"get_samples\(group_by_chain=True\)"):
        predict_all(draws, X_GOOD, D_H=2)


def test_what_else_is_among_the_draws_does_not_matter():
    draws = two_chains().get_samples(group_by_chain=True)
    ours = predict_all(draws, X_GOOD, D_H=2)
    more = {**draws, "sigma": draws["prec_obs"] ** -0.5, "gap": np.full((2, 6), np.nan)}
    np.testing.assert_array_equal(ours, predict_all(more, X_GOOD, D_H=2))


@pytest.mark.parametrize("columns", [1, 3])
def test_inputs_that_do_not_fit_the_draws_are_told(columns):
    draws = two_chains().get_samples(group_by_chain=True)
    with pytest.raises(ValueError, match=f"for 2 .* got {columns}"):
        predict_all(draws, np.ones((5, columns)), D_H=2)


def test_any_function_of_any_draws_is_computed_for_all():
    def squares(key, draw):
        return {name: value**2 for name, value in draw.items()}

    draws = two_chains().get_samples(group_by_chain=True)
    no_scalar = {"w2": draws["w2"]}
    for some in [draws, no_scalar]:
        found = bnn.for_all_draws(squares, jax.random.key(0), some)
        assert set(found) == set(some)
        for name, values in found.items():
            np.testing.assert_allclose(values, draws[name] ** 2, rtol=1e-6)


# draws go through in batches of 20
@pytest.mark.parametrize("S", [1, 19, 20, 21, 39, 40, 41, 60])
def test_each_result_lines_up_with_its_draw(S):
    of_first_chain = np.arange(S, dtype=np.float32)
    number = np.stack([of_first_chain, 1000 + of_first_chain])

    def number_and_key(key, draw):
        return draw["number"], jax.random.key_data(key)

    draws = {"number": number}
    found, keys = bnn.for_all_draws(number_and_key, jax.random.key(0), draws)
    np.testing.assert_array_equal(found, number)
    assert isinstance(found, np.ndarray)
    assert len(np.unique(keys.reshape(2 * S, -1), axis=0)) == 2 * S


def test_the_results_are_those_of_the_key():
    def of_key(key, draw):
        return jax.random.uniform(key)

    draws = {"number": np.ones((2, 30))}

    def results(seed):
        return bnn.for_all_draws(of_key, jax.random.key(seed), draws)

    np.testing.assert_array_equal(results(0), results(0))
    assert not np.any(results(0) == results(1))
    old_key = jax.random.PRNGKey(0)  # of the kind that much code still has
    of_old_key = bnn.for_all_draws(of_key, old_key, draws)
    np.testing.assert_array_equal(of_old_key, results(0))


def test_a_model_that_does_not_record_f_is_told():
    def model(X, Y, D_H, scale):
        numpyro.sample("Y", dist.Normal(np.zeros((9, 1)), scale), obs=Y)

    with pytest.raises(ValueError, match="model must record its output"):
        fixed = partial(model, scale=1.0)
        bnn.predict(fixed, jax.random.key(0), {}, X_GOOD, 2)


def test_a_model_that_observes_Y_when_it_predicts_is_told():
    def model(X, Y, D_H):
        bnn.model(X, Y_GOOD, D_H)

    draw = random_parameters(np.random.default_rng(0), 2, 2)
    with pytest.raises(ValueError, match="draw must fix all that model samples but Y"):
        bnn.predict(model, jax.random.key(0), draw, X_GOOD, 2)


# all draws at once would take over 3.5, and a copy of f or Y 0.7 more
@pytest.mark.parametrize("chains, points, gib", [(32, 500, 1.0), (1, 100_000, 1.3)])
def test_predictions_need_up_to_1_3_gib_over_themselves(
    run_program, chains, points, gib
):
    result = run_program("memory_of_predictions", chains, points)
    assert float(stdout_of(result)) < gib
