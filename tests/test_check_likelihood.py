"""Is a model whose data would count more than once told, and no other?"""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from helpers import (
    FAR,
    NEAR,
    RARE,
    X_GOOD,
    Y_GOOD,
    between_good,
    column,
    run_few,
    years,
)

import bnn

LABELS = np.arange(9) % 4
COUNTS = 3 * RARE


def model_of(distribution, outputs=1, plate="data", dim=-1):
    """A linear model, with any distribution of Y given f (N, outputs)."""

    def model(X, Y, D_H):
        N, D_X = X.shape
        w = numpyro.sample("w", dist.Normal(np.zeros((D_X, outputs)), 1.0))
        f = numpyro.deterministic("f", bnn.linear(w, X.T).T)
        if plate is None:
            numpyro.sample("Y", distribution(f), obs=Y)
            return
        with numpyro.plate(plate, N, dim=dim):
            numpyro.sample("Y", distribution(f), obs=Y)

    return model


def rows(distribution):
    """The same, but one datum is a row."""
    return lambda f: distribution(f).to_event(1)


def normal(f):
    return dist.Normal(f, 1.0)


def classes(f):
    return dist.Categorical(logits=f)


def two_classes(f):
    return dist.Bernoulli(logits=f)


def counts(f):
    return dist.Poisson(jnp.exp(f))


def vectors(f):
    return dist.MultivariateNormal(f, jnp.eye(f.shape[1]))


# -1 holds the place of what was not counted
PLACEHOLDERS = COUNTS - 1


def masked_counts(f):
    return counts(f).mask(PLACEHOLDERS >= 0)


# What a model may observe in place of Y
def computed(Y):
    return jnp.roll(Y, 1, axis=0)


def changed(Y):
    return Y.at[0].set(Y[1])


def by_index(Y):
    with numpyro.plate("rows", len(Y)) as rows:
        return Y[rows]


SEEN = {
    "as it is": lambda Y: Y,
    "computed": computed,
    "changed": changed,
    "by index": by_index,
}


def observing(seen, model):
    """The model, but it sees Y so."""
    return lambda X, Y, D_H: model(X, seen(Y), D_H)


WRONG = {
    "measurements": (model_of(normal), Y_GOOD, (9, 9)),
    "two classes": (model_of(two_classes), RARE, (9, 9)),
    "booleans": (model_of(two_classes), RARE > 0, (9, 9)),
    "counts": (model_of(counts), COUNTS, (9, 9)),
    "classes": (model_of(rows(classes), 4), LABELS, (9, 9)),
    "a column of classes": (model_of(classes, 4), LABELS[:, None], (9,)),
    "counts without a column": (model_of(rows(counts)), COUNTS[:, 0], (9, 1)),
    "one output for two": (model_of(rows(normal), 2), Y_GOOD, (9, 2)),
    "without a plate": (model_of(normal, plate=None), Y_GOOD[:, 0], (9, 1)),
    "outputs that never fit": (model_of(rows(normal), 3), np.ones((9, 2)), (9, 3)),
    "masked counts": (model_of(masked_counts), PLACEHOLDERS, (9, 9)),
}


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN)
@pytest.mark.parametrize("model, Y, shape", WRONG.values(), ids=WRONG)
def test_both_shapes_are_told_before_sampling(seen, model, Y, shape, monkeypatch):
    monkeypatch.delattr(bnn, "MCMC")
    with pytest.raises(ValueError, match="distribution of Y in model") as error:
        run_few(observing(seen, model), Y=Y)
    assert f"{Y.shape}, not {shape}" in str(error.value)


def test_two_data_can_count_twice():
    with pytest.raises(ValueError, match=r"\(2, 1\), not \(2, 2\)"):
        bnn.check_likelihood(model_of(normal), X_GOOD[:2], Y_GOOD[:2], 2)


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN)
def test_a_model_may_change_Y_before_it_observes_it(seen, capsys):
    model = observing(seen, bnn.model)
    bnn.check_likelihood(model, *bnn.check_data(X_GOOD, Y_GOOD), 2)
    assert capsys.readouterr().out == ""


def test_a_site_of_another_name_is_told_by_it():
    def model(X, Y, D_H):
        bnn.model(X, Y, D_H)
        numpyro.sample("again", dist.Normal(np.zeros((9, 9)), 1.0), obs=Y)

    with pytest.raises(ValueError, match="distribution of again in model"):
        bnn.check_likelihood(model, X_GOOD, Y_GOOD, 2)


def one_number_for_all(f):
    return dist.Normal(jnp.mean(f), 1.0)


class WithoutSupport(dist.Distribution):
    """A distribution of one's own, which NumPyro takes where it is observed."""

    def __init__(self, loc):
        self.loc = loc
        super().__init__(batch_shape=jnp.shape(loc))

    def sample(self, key, sample_shape=()):
        return jnp.broadcast_to(self.loc, sample_shape + self.batch_shape)

    def log_prob(self, value):
        return -0.5 * (value - self.loc) ** 2


class DependentSupport(WithoutSupport):
    """One whose support depends on what it is made of."""

    support = dist.constraints.dependent


class DependentNumbers(WithoutSupport):
    """The same, but it is known to be of real numbers."""

    support = dist.constraints.dependent(is_discrete=False, event_dim=0)


class BeyondMinus9(dist.constraints.Constraint):
    """A reader's own, which is judged by JAX."""

    event_dim = 0

    def __call__(self, x):
        return jnp.greater(x, -9.0)


class SupportOfOnesOwn(WithoutSupport):
    """A distribution with it."""

    support = BeyondMinus9()


# limits that depend on unknowns, so that nobody knows them before sampling
def between(f):
    return dist.Uniform(f - 0.001, f + 0.001)


def above(f):
    return dist.TruncatedNormal(f, 1.0, low=f - 9.0)


def trials(f):
    return dist.Binomial(jnp.int32(9.0 + jnp.exp(f)), 0.5)


def with_constraints(X, Y, D_H):
    """Three zeros that hold others near them, and a part of the data without a row."""
    bnn.model(X, Y, D_H)
    slopes = numpyro.sample("slopes", dist.Normal(np.zeros((8, 1)), 1.0))
    numpyro.sample("smooth", dist.Normal(slopes, 0.1), obs=0.0)
    numpyro.sample("steady", dist.Normal(slopes, 0.1), obs=np.array(0.0))
    numpyro.sample("even", dist.Normal(slopes, 0.1), obs=np.zeros(1))
    no_rows = np.arange(0)
    numpyro.sample("none", dist.Normal(np.zeros((0, 1)), 1.0), obs=Y[no_rows])


def by_the_index_of_the_plate(X, Y, D_H):
    with numpyro.plate("data", len(X)) as rows:
        numpyro.sample("Y", dist.Normal(X[rows, 0], 1.0), obs=Y[rows, 0])


# Distributions of a range, whose data cannot be standardised
def proportions(f):
    return dist.Beta(jnp.exp(f), 2.0)


def waiting_times(f):
    return dist.Gamma(2.0, jnp.exp(-f))


def masked_rows(f):
    return rows(counts)(f).mask(PLACEHOLDERS[:, 0] >= 0)


def masked_and_expanded(f):
    return masked_counts(f).expand((9, 2))


WITH_A_GAP = np.where(RARE == 1, -999.0, Y_GOOD)


def masked_normal(f):
    return normal(f).mask(WITH_A_GAP > -900)


def angles(f):
    return dist.VonMises(f, 1.0)


def shifted_in_place(X, Y, D_H):
    Y -= 0.1
    bnn.model(X, Y, D_H)


def without_Y(X, Y, D_H):
    numpyro.sample("w", dist.Normal(0.0, 1.0))
    numpyro.factor("Y as a factor", -jnp.sum(Y**2))


RIGHT = {
    "the page's": (bnn.model, Y_GOOD),
    "(N, 1)": (model_of(rows(normal)), Y_GOOD),
    "(N, 2)": (model_of(rows(normal), 2), np.hstack([Y_GOOD, Y_GOOD])),
    "(N, 2), a vector": (model_of(vectors, 2), np.hstack([Y_GOOD, Y_GOOD])),
    "one number, (N,)": (model_of(one_number_for_all), Y_GOOD[:, 0]),
    "one number, all Y": (model_of(one_number_for_all, plate=None), Y_GOOD),
    "a plate at -2": (model_of(normal, dim=-2), Y_GOOD),
    "without a plate": (model_of(normal, plate=None), Y_GOOD),
    "two classes": (model_of(rows(two_classes)), RARE),
    "booleans": (model_of(rows(two_classes)), RARE > 0),
    "classes": (model_of(classes, 4), LABELS),
    "counts": (model_of(rows(counts)), COUNTS),
    "large counts": (model_of(rows(counts)), 1000 * COUNTS),
    "0 and 1 as measurements": (bnn.model, RARE),
    "without Y": (without_Y, Y_GOOD),
    "without support": (model_of(WithoutSupport, plate=None), Y_GOOD),
    "dependent support": (model_of(DependentSupport, plate=None), Y_GOOD),
    "without support, rows": (model_of(rows(WithoutSupport)), Y_GOOD),
    "dependent numbers": (model_of(DependentNumbers, plate=None), Y_GOOD),
    "support of one's own": (model_of(SupportOfOnesOwn, plate=None), Y_GOOD),
    "by the index of the plate": (by_the_index_of_the_plate, Y_GOOD),
    "proportions": (model_of(rows(proportions)), 0.9 - 0.1 * RARE),
    "waiting times": (model_of(rows(waiting_times)), 1000.0 + Y_GOOD),
    "masked counts": (model_of(rows(masked_counts)), PLACEHOLDERS),
    "masked rows": (model_of(masked_rows), PLACEHOLDERS),
    "a masked measurement": (model_of(rows(masked_normal)), WITH_A_GAP),
    "masked, in two columns": (
        model_of(rows(masked_and_expanded)),
        np.hstack([PLACEHOLDERS, PLACEHOLDERS]),
    ),
    "angles": (model_of(rows(angles)), 2 + Y_GOOD / 2),
    "angles that are nearly the same": (model_of(rows(angles)), 2 + Y_GOOD / 1000),
    "one mean for two outputs": (
        model_of(normal, dim=-2),
        np.hstack([Y_GOOD, Y_GOOD]),
    ),
    "shifted in place": (shifted_in_place, Y_GOOD),
    "with constraints": (with_constraints, Y_GOOD),
    "unknown limits": (model_of(rows(between)), Y_GOOD),
    "an unknown lower limit": (model_of(rows(above)), Y_GOOD),
    "an unknown number of trials": (model_of(rows(trials)), COUNTS),
}


@pytest.mark.parametrize("model, Y", RIGHT.values(), ids=RIGHT)
def test_of_other_models_nothing_is_told(model, Y, capsys):
    bnn.check_likelihood(model, *bnn.check_data(X_GOOD, Y), 2)
    assert capsys.readouterr().out == ""


WHOLE = [
    2 * RARE,
    RARE * np.uint8(200),
    RARE - RARE[::-1],
    (200 * RARE - 100).astype(np.int8),
    RARE + 1,
]


@pytest.mark.parametrize(
    "model", [bnn.model, model_of(rows(normal)), model_of(rows(waiting_times))]
)
@pytest.mark.parametrize("Y", WHOLE)
def test_whole_numbers_as_measurements_are_told(model, Y, capsys):
    bnn.check_likelihood(model, X_GOOD, Y, 2)
    out = capsys.readouterr().out
    assert "Note: model takes the whole numbers of Y for measurements" in out


def test_run_inference_tells_it_before_the_draws(monkeypatch, capsys):
    monkeypatch.delattr(bnn, "MCMC")
    with pytest.raises(NameError, match="MCMC"):
        run_few(Y=1000 * RARE)
    assert "for measurements" in capsys.readouterr().out


# Outputs that need to be standardised
@pytest.fixture
def note(capsys):
    """Return a function that gives what is printed of Y as measurements."""

    def printed(Y):
        model = model_of(rows(normal), Y.shape[1])
        X = np.ones((len(Y), 1))
        bnn.check_likelihood(model, X, Y, 2)
        return capsys.readouterr().out

    return printed


@pytest.mark.parametrize("mean, sd", [*FAR, (0, 0.33)])
def test_the_output_that_is_far_from_standardised_is_told(note, mean, sd):
    told = note(between_good(column(mean, sd))[:, 1:])
    assert told.startswith("Note: standardise Y")
    assert "column(s) [1], from 0" in told
    assert told.count("Note") == 1


@pytest.mark.parametrize("mean, sd", [*NEAR, (0, 0.34)])
def test_an_output_that_is_nearly_standardised_is_not(note, mean, sd):
    assert note(between_good(column(mean, sd))[:, 1:]) == ""


def test_two_outputs_whose_means_cancel_are_told(note):
    Y = np.hstack([column(5, 1), column(-5, 1)])
    assert "column(s) [0 1], from 0" in note(Y)


@pytest.mark.parametrize("kind", [float, int])
def test_outputs_in_units_of_their_own_are_told_whatever_their_type(note, kind):
    _, Y = years()
    assert "Note: standardise Y" in note(Y.astype(kind))


def test_an_output_between_unknown_limits_is_judged_too(capsys):
    model = model_of(rows(between))
    bnn.check_likelihood(model, np.ones((10, 1)), column(5, 1), 2)
    assert "standardise Y" in capsys.readouterr().out


def test_Y_without_a_second_axis_is_judged_too(capsys):
    model = model_of(one_number_for_all)
    bnn.check_likelihood(model, np.ones((10, 1)), column(0, 1)[:, 0], 2)
    assert capsys.readouterr().out == ""
    bnn.check_likelihood(model, np.ones((10, 1)), column(5, 1)[:, 0], 2)
    assert "standardise Y" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [float, int])
def test_counts_have_no_scale_whatever_their_type(capsys, kind):
    Y = 1000 * COUNTS.astype(kind)
    bnn.check_likelihood(model_of(rows(counts)), X_GOOD, Y, 2)
    assert capsys.readouterr().out == ""


# A model that never sees the data samples its prior, which converges well
def unobserved_under_another_name(X, Y, D_H):
    numpyro.sample("output", dist.Normal(np.zeros((9, 1)), 1.0))


def prior_alone(X, Y, D_H):
    numpyro.sample("w", dist.Normal(0.0, 1.0))


def without_obs(X, Y, D_H):
    bnn.model(X, None, D_H)


def without_obs_beside_another(X, Y, D_H):
    bnn.model(X, None, D_H)
    numpyro.sample("inputs", dist.Normal(np.zeros((9, 2)), 1.0), obs=X)


OF_THE_PRIOR = [
    unobserved_under_another_name,
    prior_alone,
    without_obs,
    without_obs_beside_another,
]


@pytest.mark.parametrize("seen", SEEN.values(), ids=SEEN)
@pytest.mark.parametrize("model", OF_THE_PRIOR)
def test_a_model_that_does_not_observe_Y_is_told(seen, model):
    with pytest.raises(ValueError, match="model must observe Y"):
        run_few(observing(seen, model))


@pytest.mark.parametrize("Y", [-COUNTS, COUNTS + 0.5])
def test_data_outside_of_the_support_are_told(Y):
    with pytest.raises(ValueError, match="Y must be in the support"):
        bnn.check_likelihood(model_of(rows(counts)), X_GOOD, Y, 2)


@pytest.mark.parametrize("position", [0, 2500, -1])
def test_a_single_count_outside_of_the_support_is_told(position):
    Y = np.zeros((5000, 1), int)
    Y[position] = -1
    X = np.ones((5000, 1))
    with pytest.raises(ValueError, match="Y must be in the support"):
        bnn.check_likelihood(model_of(rows(counts)), X, Y, 2)


def with_other_data(distribution, data):
    """The page's model, which observes more."""

    def model(X, Y, D_H):
        bnn.model(X, Y, D_H)
        numpyro.sample("other", distribution(np.ones((9, 1))), obs=data)

    return model


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_other_data_are_judged_under_their_name(kind, capsys):
    with pytest.raises(ValueError, match="^other must be in the support"):
        model = with_other_data(counts, kind(COUNTS + 0.5))
        bnn.check_likelihood(model, X_GOOD, Y_GOOD, 2)
    model = with_other_data(normal, kind(1000 * COUNTS))
    bnn.check_likelihood(model, X_GOOD, Y_GOOD, 2)
    out = capsys.readouterr().out
    assert "Note: standardise other" in out
    assert "whole numbers of other" in out
    assert out.count("Note") == 2


def test_a_part_of_Y_is_judged_too(capsys):
    def model(X, Y, D_H):
        numpyro.sample("Y", dist.Normal(np.zeros(len(X)), 1.0), obs=Y[:, 0])

    data = bnn.check_data(np.ones((10, 1)), column(5, 1))
    bnn.check_likelihood(model, *data, 2)
    assert "standardise Y" in capsys.readouterr().out


def test_booleans_as_measurements_are_taken(capsys):
    bnn.check_likelihood(bnn.model, X_GOOD, RARE > 0, 2)
    assert capsys.readouterr().out == ""
