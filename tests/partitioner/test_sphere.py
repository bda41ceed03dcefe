"""Separations, longitudes and pixels against astropy, exact arithmetic and hpgeom."""

import subprocess
import sys
from fractions import Fraction

import healpy
import hpgeom
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import angular_separation
from hypothesis import given
from hypothesis import strategies as st

from partitioner import healpix
from partitioner.pixel import HealpixPixel
from partitioner.sphere import angular_separation_deg, cross, positions, reduced_longitude, unit_vectors, vector_separation_rad

finite = st.floats(-1e6, 1e6)
latitudes = st.one_of(st.sampled_from([90.0, -90.0, 0.0, 5e-324]), st.floats(-90, 90))


@given(finite, latitudes, finite, latitudes)
def test_separation_is_that_of_astropy(ra1, dec1, ra2, dec2):
    theirs = angular_separation(ra1 * u.deg, dec1 * u.deg, ra2 * u.deg, dec2 * u.deg).to_value(u.deg)
    assert angular_separation_deg(ra1, dec1, ra2, dec2) == pytest.approx(theirs, rel=1e-9, abs=1e-11)


@given(st.floats(0, 360), st.floats(-80, 80), st.floats(-14, 0))
def test_separation_keeps_its_digits_when_tiny_and_next_to_the_antipode(ra, dec, log_step):
    moved = dec + 10**log_step
    step = float(Fraction(moved) - Fraction(dec))
    assert angular_separation_deg(ra, dec, ra, moved) == pytest.approx(step, rel=1e-12)
    # (180 - s) is known to 3e-14 only.
    assert angular_separation_deg(ra, dec, ra + 180, -moved) == pytest.approx(180 - step, abs=1e-13)


@given(finite, latitudes)
def test_vectors_and_positions(ra, dec):
    xyz = unit_vectors(ra, dec)
    lon, lat = positions(xyz)
    assert 0 <= lon < 360
    assert angular_separation_deg(ra, dec, lon, lat) < 1e-8
    assert vector_separation_rad(xyz, unit_vectors(lon, lat)) < 1e-14
    np.testing.assert_allclose(cross(xyz, np.array([0.3, -0.2, 0.9])), np.cross(xyz, [0.3, -0.2, 0.9]), atol=1e-15)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), latitudes)
def test_reduced_longitude_is_a_longitude_and_has_the_same_pixel(ra, dec):
    reduced = reduced_longitude(ra)
    assert 0 <= reduced < 360
    assert reduced_longitude(reduced) == reduced
    assert healpix.pixel_of(ra, dec) == healpix.pixel_of(reduced, dec)


@pytest.mark.parametrize("ra", [-5e-324, -1e-300, 360.0, 720.0, -360.0, -0.0])
def test_longitudes_that_are_zero(ra):
    assert reduced_longitude(ra) == 0
    assert healpix.pixel_of(ra, 10.0) == healpix.pixel_of(0.0, 10.0)


@pytest.mark.parametrize(("ra", "dec"), [(np.nan, 0), (0, np.nan), (np.inf, 0), (0, 90.0000001), (0, -np.inf)])
def test_no_pixel_without_a_position(ra, dec):
    with pytest.raises(ValueError, match=r"NaN or infinite|out of range"):
        healpix.pixel_of([1.0, ra], [1.0, dec])


def test_pixels_are_those_of_healpy():
    rng = np.random.default_rng(4)
    ra, dec = np.append(rng.uniform(0, 360, 100_000), [0, 0, 45, 180]), np.append(rng.uniform(-90, 90, 100_000), [90, -90, 0, 41.8])
    for order in (0, 8, 29):
        np.testing.assert_array_equal(healpix.pixel_of(ra, dec, order), healpy.ang2pix(1 << order, ra, dec, nest=True, lonlat=True))


def test_pixels_do_not_take_the_time_that_all_of_healpy_takes_to_load():
    code = "import sys; from partitioner.healpix import pixel_of; print(pixel_of(0.0, 0.0), 'astropy' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.split() == [str(int(healpix.pixel_of(0.0, 0.0))), "False"]


def test_both_libraries_number_alike():
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 10_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 10_000)))
    for order in (0, 1, 8, 29):
        ours = healpix.pixel_of(ra, dec, order)
        assert (ours != hpgeom.angle_to_pixel(1 << order, ra, dec)).sum() <= 1
        np.testing.assert_array_equal(ours, healpix.pixel_of(ra, dec) >> (2 * (29 - order)))
        np.testing.assert_array_equal(healpix.pixel_of(*healpix.pixel_centre(order, ours), order), ours)
        lon, lat = healpix.boundaries(order, ours[:100], step=4)
        distance = vector_separation_rad(unit_vectors(lon, lat), healpix.pixel_centre_xyz(order, ours[:100])[:, np.newaxis])
        assert lon.shape == (100, 16)
        assert distance.max() <= np.radians(hpgeom.max_pixel_radius(1 << order)) + 1e-12


@given(st.integers(0, 29), st.data())
def test_pixels_as_values_and_as_numbers(order, data):
    pixel = HealpixPixel(order, data.draw(st.integers(0, 12 * 4**order - 1)))
    assert HealpixPixel.from_nuniq(pixel.nuniq) == pixel
    assert healpix.nuniq_of(pixel.order, pixel.ipix) == pixel.nuniq
    assert [int(part) for part in healpix.pixels_of_nuniq(pixel.nuniq)] == [pixel.order, pixel.ipix]
    assert healpix.range_starts(pixel.order, pixel.ipix) == pixel.range29[0]
    if order < 29:
        children = pixel.children
        assert [child.parent for child in children] == [pixel] * 4
        assert all(pixel.contains(child) and not child.contains(pixel) for child in children)
        assert [child.range29[0] for child in children] + [pixel.range29[1]] == [pixel.range29[0]] + [
            child.range29[1] for child in children
        ]
    assert pixel.contains(pixel)


@pytest.mark.parametrize("nuniq", [-1, 0, 3, 4**31, 4 * 4**29 + 12 * 4**29])
def test_numbers_that_are_no_pixel(nuniq):
    with pytest.raises(ValueError, match=r"NUNIQ|HealPix|HEALPix"):
        HealpixPixel.from_nuniq(nuniq)
    with pytest.raises(ValueError, match="NUNIQ"):
        healpix.pixels_of_nuniq(nuniq)


@pytest.mark.parametrize(("order", "ipix"), [(-1, 0), (30, 0), (0, 12), (3, -1)])
def test_pixels_that_do_not_exist(order, ipix):
    with pytest.raises(ValueError, match="HEALPix order"):
        HealpixPixel(order, ipix)
