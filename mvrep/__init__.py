"Search, recommend, tag and explore music videos by their audio and video."

__version__ = "0.1.0"

from .core import public_names

__getattr__, __dir__, __all__ = public_names(__name__, {
    'index.index': ['Index'],
    'index.indexing': ['index_folder'],
    'index.joint_space': ['train'],
    'recommendation.neighbours': ['similar'],
    'recommendation.likes': ['recommend'],
    'recommendation.matching': ['match'],
    'recommendation.text_search': ['search'],
    'encoders.registry': ['load_encoder'],
    'probing.probe': ['Probe'],
})
