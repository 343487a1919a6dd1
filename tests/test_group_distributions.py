"""Drawings: one for each modality, a box for each scanner, text that stays text."""

import base64
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from mrrate_bids.group.distributions import draw_distributions
from mrrate_bids.group.measures import find_measure
from mrrate_bids.group.rows import Row
from mrrate_bids.group.scanners import Scanner

SHARP = find_measure('coreg-transform', 'Sharpness')
VOLUME = find_measure('brain-mask', 'BrainVolumeMl')


def row(value, scanner='ACME', suffix='T2w', measure=SHARP):
    image = f'sub-1/anat/sub-1_{suffix}.nii.gz'
    return Row(
        'sub-1', 'complete', image=image, scanner=Scanner(scanner), numbers={measure: value}
    )


def texts(drawing):
    kind, _, data = drawing.image.partition(',')
    assert kind == 'data:image/svg+xml;base64'
    tree = ET.fromstring(base64.b64decode(data))
    assert tree.tag.endswith('svg')
    return [text for element in tree.iter() for text in [element.text or ''] if text.strip()]


def test_a_drawing_for_each_modality_and_a_box_for_each_scanner():
    rows = [row(1.0), row(2.0), row(3.0, 'Other'), row(4.0, suffix='FLAIR')]
    flair, t2w = draw_distributions(rows, SHARP)
    assert {'FLAIR, sharpness', 'ACME (1)'} <= set(texts(flair))
    assert {'T2w, sharpness', 'ACME (2)', 'Other (1)'} <= set(texts(t2w))
    assert t2w.text.startswith('T2w, sharpness: 3 images of 2 scanners, median 2,')
    assert flair.height < t2w.height
    assert list(draw_distributions(rows, VOLUME)) == []


def test_units_are_told():
    (drawing,) = draw_distributions([row(1200.0, measure=VOLUME)], VOLUME)
    assert 'T2w, brain volume in mL' in texts(drawing)


def test_many_scanners_are_few_boxes():
    rows = [row(float(n), f'Scanner {n:03d}') for n in range(40)] + [row(1.0, 'Scanner 039')]
    (drawing,) = draw_distributions(rows, SHARP)
    told = texts(drawing)
    assert 'Scanner 039 (2)' in told
    assert 'Scanner 010 (1)' not in told
    assert 'other scanners (29)' in told
    assert drawing.height < 700


def test_same_numbers_give_the_same_bytes_and_many_give_few():
    values = np.random.default_rng(0).standard_t(2, 20_000).tolist()
    one, other = (list(draw_distributions([row(v) for v in values], SHARP)) for _ in range(2))
    assert one == other
    assert len(one[0].image) < 50_000


@pytest.mark.parametrize('name', ['<script>&"', '$x^2$ \\alpha', 'İstanbul 磁共振', 'x' * 300])
def test_odd_names_of_scanners(name):
    (drawing,) = draw_distributions([row(1.0, name), row(2.0, name)], SHARP)
    assert any(text.startswith(name[:20]) for text in texts(drawing))
