"""Fluxes and magnitudes against astropy."""

import astropy.units as u
import numpy as np
import pytest

FLUX_CGS = np.array([3.630780547701013e-20, 1e-29, 3.63e-32, 1e-10])
FLUX_NJY = np.array([1.0, 3630780547701.013, 575.44, 0.001])


def test_magnitudes_agree_with_astropy(evaluate):
    cgs = (FLUX_CGS * u.erg / u.s / u.cm**2 / u.Hz).to_value(u.ABmag)
    # Oke & Gunn's zero point of -48.60 is rounded; astropy takes 3631 Jy: 0.07 mmag apart.
    np.testing.assert_allclose(evaluate("qserv.scisql_fluxToAbMag(f)", f=FLUX_CGS), cgs, atol=1e-4)
    nanojansky = (FLUX_NJY * u.nJy).to_value(u.ABmag)
    for name in ("nanojansky_to_abmag", "scisql_nanojanskyToAbMag"):
        np.testing.assert_allclose(evaluate(f"qserv.{name}(f)", f=FLUX_NJY), nanojansky, atol=1e-4)
    np.testing.assert_allclose(
        evaluate("qserv.scisql_dnToAbMag(f, 2e12)", f=FLUX_NJY), -2.5 * np.log10(FLUX_NJY / 2e12), rtol=1e-14
    )


@pytest.mark.parametrize(
    ("there", "back"),
    [
        ("scisql_fluxToAbMag(f)", "scisql_abMagToFlux(m)"),
        ("nanojansky_to_abmag(f)", "abmag_to_nanojansky(m)"),
        ("scisql_nanojanskyToAbMag(f)", "scisql_abMagToNanojansky(m)"),
        ("scisql_dnToAbMag(f, 3e12)", "scisql_abMagToDn(m, 3e12)"),
        ("scisql_dnToFlux(f, 3e12)", "scisql_fluxToDn(m, 3e12)"),
    ],
)
def test_there_and_back_again(evaluate, there, back):
    flux = FLUX_CGS if "flux" in there else FLUX_NJY
    converted = evaluate(f"qserv.{there}", f=flux)
    np.testing.assert_allclose(evaluate(f"qserv.{back}", m=converted), flux, rtol=1e-12)


@pytest.mark.parametrize(
    ("value", "sigma", "arguments"),
    [
        ("scisql_fluxToAbMag({0})", "scisql_fluxToAbMagSigma({0}, {1})", (1e-29, 1e-31)),
        ("scisql_abMagToFlux({0})", "scisql_abMagToFluxSigma({0}, {1})", (21.5, 0.01)),
        ("nanojansky_to_abmag({0})", "nanojansky_to_abmag_sigma({0}, {1})", (500.0, 5.0)),
        ("abmag_to_nanojansky({0})", "abmag_to_nanojansky_sigma({0}, {1})", (24.0, 0.02)),
        ("scisql_dnToAbMag({0}, {2})", "scisql_dnToAbMagSigma({0}, {1}, {2}, {3})", (5e3, 50.0, 3e12, 3e9)),
        ("scisql_dnToFlux({0}, {2})", "scisql_dnToFluxSigma({0}, {1}, {2}, {3})", (5e3, 50.0, 3e12, 3e9)),
        ("scisql_fluxToDn({0}, {2})", "scisql_fluxToDnSigma({0}, {1}, {2}, {3})", (1e-29, 1e-31, 3e12, 3e9)),
        ("scisql_abMagToDn({0}, {2})", "scisql_abMagToDnSigma({0}, {1}, {2}, {3})", (21.5, 0.01, 3e12, 3e9)),
    ],
)
def test_errors_are_propagated_linearly(scalar, value, sigma, arguments):
    """The error is the root sum square of differences, one for each argument that has an error."""
    steps = 1e-4
    total = 0.0
    for place in range(0, len(arguments), 2):
        shifted = []
        for sign in (1, -1):
            moved = list(arguments)
            moved[place] += sign * steps * arguments[place + 1]
            shifted.append(scalar("qserv." + value.format(*map(repr, moved))))
        total += ((shifted[0] - shifted[1]) / (2 * steps)) ** 2
    assert scalar("qserv." + sigma.format(*map(repr, arguments))) == pytest.approx(total**0.5, rel=1e-6)


@pytest.mark.parametrize("flux", ["0", "-1", "'NaN'", "'Infinity'", "'-Infinity'", "NULL"])
def test_no_magnitude_of_a_flux_that_is_not_above_zero(scalar, flux):
    for name in ("scisql_fluxToAbMag", "nanojansky_to_abmag", "scisql_nanojanskyToAbMag"):
        assert scalar(f"qserv.{name}({flux})") is None
    assert scalar(f"qserv.scisql_dnToAbMag({flux}, 1)") is None
    assert scalar(f"qserv.scisql_dnToAbMag(1, {flux})") is None
    assert scalar(f"qserv.nanojansky_to_abmag_sigma({flux}, 1)") is None


@pytest.mark.parametrize("magnitude", ["'NaN'", "'Infinity'", "'-Infinity'", "NULL", "-1000", "1e300"])
def test_no_flux_of_a_magnitude_that_is_none(scalar, magnitude):
    for name in ("scisql_abMagToFlux", "abmag_to_nanojansky", "scisql_abMagToNanojansky"):
        assert scalar(f"qserv.{name}({magnitude})") is None
