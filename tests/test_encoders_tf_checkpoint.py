"The reader of TensorFlow checkpoints, with the indexes of the original musicnn models"
from importlib.resources import files
import numpy as np
import pytest
from conftest import root
from mvrep.encoders.tf_checkpoint import read_tf, tf_checksum, tf_index
from mvrep.encoders.weights import WeightsError, read_weights

INDEX = root/'nbs/library/02_encoders/fixtures/musicnn/mtt.index'
KERNELS = dict(
    conv2d=(7, 38, 1, 204), conv2d_1=(7, 67, 1, 204), conv2d_2=(128, 1, 1, 51), conv2d_3=(64, 1, 1, 51),
    conv2d_4=(32, 1, 1, 51), conv2d_5=(7, 561, 1, 64), conv2d_6=(7, 64, 1, 64), conv2d_7=(7, 64, 1, 64))

def test_checksum_of_the_standard_text():
    crc = 0xE3069283
    assert tf_checksum(b'123456789')==((crc>>15 | crc<<17 & 0xFFFFFFFF)+0xA282EAD8) & 0xFFFFFFFF

def test_shapes_in_the_index():
    index = tf_index(INDEX)
    network = {k: v for k, v in index.items() if 'Adam' not in k and 'power' not in k}
    assert (len(index), len(network))==(150, 64)
    assert sum(int(np.prod(o.shape)) for o in network.values())==792079
    for name, shape in KERNELS.items():
        assert network[f'{name}/kernel'].shape==shape
        assert network[f'{name}/bias'].shape==shape[-1:]

def write_bias(folder, raw):
    (folder/'c.index').write_bytes(INDEX.read_bytes())
    with open(folder/'c.data-00000-of-00001', 'wb') as file:
        file.seek(tf_index(INDEX)['dense_1/bias'].offset)
        file.write(raw)

def only_bias(name): return name=='dense_1/bias'

def test_one_tensor_and_one_changed_bit(tmp_path):
    bias = read_weights(files('mvrep')/'weights'/'musicnn_mtt.safetensors')['output.bias'].numpy()
    raw = bytearray(bias.tobytes())
    write_bias(tmp_path, raw)
    np.testing.assert_array_equal(read_tf(tmp_path/'c', only_bias)['dense_1/bias'], bias)
    raw[7] ^= 1
    write_bias(tmp_path, raw)
    with pytest.raises(WeightsError, match='dense_1/bias is damaged'): read_tf(tmp_path/'c', only_bias)

def test_a_truncated_data_file_is_refused(tmp_path):
    write_bias(tmp_path, b'')
    with open(tmp_path/'c.data-00000-of-00001', 'wb') as file: file.write(b'\0')
    with pytest.raises(WeightsError, match='dense_1/bias is damaged'): read_tf(tmp_path/'c', only_bias)

def test_damaged_and_other_files_are_refused(tmp_path):
    damaged = bytearray(INDEX.read_bytes())
    damaged[100] ^= 1
    (tmp_path/'damaged.index').write_bytes(damaged)
    with pytest.raises(WeightsError, match='index is damaged'): tf_index(tmp_path/'damaged.index')
    (tmp_path/'text.index').write_text('not weights')
    with pytest.raises(WeightsError, match='not the index'): tf_index(tmp_path/'text.index')

def test_a_missing_checkpoint_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError): read_tf(tmp_path/'nothing')
