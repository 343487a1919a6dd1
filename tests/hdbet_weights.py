"""Weights of the true format of HD-BET 2 and of random content, in a second."""

import json
from pathlib import Path

import numpy as np

from mrrate_bids.computing.hdbet_weights import CHECKPOINT

AXES = [3, 3, 3]
ARCHITECTURE = {
    'n_stages': 3,
    'features_per_stage': [4, 8, 16],
    'conv_op': 'torch.nn.modules.conv.Conv3d',
    'kernel_sizes': [AXES] * 3,
    'strides': [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
    'n_conv_per_stage': [2] * 3,
    'n_conv_per_stage_decoder': [2] * 2,
    'conv_bias': True,
    'norm_op': 'torch.nn.modules.instancenorm.InstanceNorm3d',
    'norm_op_kwargs': {'eps': 1e-5, 'affine': True},
    'dropout_op': None,
    'dropout_op_kwargs': None,
    'nonlin': 'torch.nn.LeakyReLU',
    'nonlin_kwargs': {'inplace': True},
}
NETWORK = {
    'network_class_name': 'dynamic_network_architectures.architectures.unet.PlainConvUNet',
    'arch_kwargs': ARCHITECTURE,
    '_kw_requires_import': ['conv_op', 'norm_op', 'dropout_op', 'nonlin'],
}
DATASET = {
    'channel_names': {'0': 'MRI'},
    'labels': {'background': 0, 'brain': 1},
    'numTraining': 1,
    'file_ending': '.nii.gz',
}


def make_plans(*, reader='SimpleITKIO', transpose=(0, 1, 2), patch=(32, 32, 32)):
    """Return the content of plans.json for a grid of 1 mm."""
    configuration = {
        'data_identifier': 'nnUNetPlans_3d_fullres',
        'preprocessor_name': 'DefaultPreprocessor',
        'batch_size': 2,
        'patch_size': patch,
        'median_image_size_in_voxels': [160.0, 192.0, 192.0],
        'spacing': [1.0, 1.0, 1.0],
        'normalization_schemes': ['ZScoreNormalization'],
        'use_mask_for_norm': [False],
        'architecture': NETWORK,
        'batch_dice': False,
    }
    for name, order in (('data', 3), ('seg', 1), ('probabilities', 1)):
        more = {'is_seg': name == 'seg', 'order': order, 'order_z': 0, 'force_separate_z': None}
        configuration[f'resampling_fn_{name}'] = 'resample_data_or_seg_to_shape'
        configuration[f'resampling_fn_{name}_kwargs'] = more
    return {
        'dataset_name': 'Dataset000_Random',
        'plans_name': 'nnUNetPlans',
        'image_reader_writer': reader,
        'transpose_forward': transpose,
        'transpose_backward': [transpose.index(axis) for axis in range(3)],
        'configurations': {'3d_fullres': configuration},
        'experiment_planner_used': 'ExperimentPlanner',
        'label_manager': 'LabelManager',
        'foreground_intensity_properties_per_channel': {'0': {}},
    }


def make_weights(folder: Path, *, seed=0, **plans) -> Path:
    """Write dataset.json, plans.json and a checkpoint; the same seed gives the same weights."""
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    (folder / 'fold_all').mkdir(parents=True)
    (folder / 'dataset.json').write_text(json.dumps(DATASET))
    (folder / 'plans.json').write_text(json.dumps(make_plans(**plans)))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        network = get_network_from_plans(*NETWORK.values(), 1, 2, deep_supervision=True)
    checkpoint = {
        'network_weights': network.state_dict(),
        'trainer_name': 'nnUNetTrainer',
        'init_args': {'configuration': '3d_fullres', 'fold': 'all'},
        'logging': {'train_losses': [np.float64(-0.5)]},  # not readable with weights_only
        'inference_allowed_mirroring_axes': (0, 1, 2),
    }
    torch.save(checkpoint, folder / CHECKPOINT)
    return folder


def edit(**changes):
    """Return a function that changes or, with None, takes out keys of a JSON file."""

    def change(path):
        content = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))

    return change


def configure(**changes):
    """Return a function that changes or, with None, takes out keys of the configuration."""

    def change(path):
        plans = json.loads(path.read_text())
        content = plans['configurations']['3d_fullres'] | changes
        plans['configurations']['3d_fullres'] = {k: v for k, v in content.items() if v is not None}
        path.write_text(json.dumps(plans))

    return change
