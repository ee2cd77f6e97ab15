"""Tiny networks with random weights, in the formats of transformers and sentence-transformers. Their features mean
nothing."""
import torch
from mvrep.core import import_torchvision

import_torchvision() # before transformers, which imports it
import transformers as hf

hf.utils.logging.set_verbosity_error()
hf.utils.logging.disable_progress_bar()
SMALL = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
TEXT = dict(SMALL, vocab_size=50, max_position_embeddings=34, bos_token_id=1, eos_token_id=2, pad_token_id=0)
VISION = dict(SMALL, image_size=32, patch_size=16)
CROP = dict(size=dict(shortest_edge=32), crop_size=dict(height=32, width=32))
WORDS = '<pad>', '<s>', '</s>', '<unk>', 'sad', 'piano', 'a', 'beach'

def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token='<unk>'))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    special = dict(pad_token='<pad>', unk_token='<unk>', bos_token='<s>', eos_token='</s>')
    return hf.PreTrainedTokenizerFast(tokenizer_object=words, **special)

def clap():
    audio = dict(patch_embeds_hidden_size=8, hidden_size=16, depths=[1, 1], num_attention_heads=[1, 1],
                 num_mel_bins=64, spec_size=256, projection_dim=12)
    config = hf.ClapConfig(text_config=TEXT, audio_config=audio, projection_dim=12)
    return hf.ClapModel(config), hf.ClapFeatureExtractor(truncation='rand_trunc'), tokenizer()

def wav2vec2():
    config = hf.Wav2Vec2Config(**dict(SMALL, hidden_size=32), conv_dim=(8, 8), conv_kernel=(10, 8), conv_stride=(8, 8),
                               num_feat_extract_layers=2)
    return hf.Wav2Vec2Model(config), hf.Wav2Vec2FeatureExtractor()

def ast():
    sizes = dict(max_length=100, num_mel_bins=32)
    return hf.ASTModel(hf.ASTConfig(**SMALL, **sizes)), hf.ASTFeatureExtractor(**sizes)

def clip():
    config = hf.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=12)
    return hf.CLIPModel(config), hf.CLIPImageProcessor(**CROP), tokenizer()

def siglip():
    config = hf.SiglipConfig(text_config=dict(TEXT, projection_size=16), vision_config=VISION)
    return hf.SiglipModel(config), hf.SiglipImageProcessor(size=dict(height=32, width=32)), tokenizer()

def siglip2():
    vision = dict(SMALL, num_patches=16, patch_size=16)
    config = hf.Siglip2Config(text_config=dict(TEXT, projection_size=16), vision_config=vision)
    return hf.Siglip2Model(config), hf.Siglip2ImageProcessor(patch_size=16, max_num_patches=16), tokenizer()

def dinov2():
    config = hf.Dinov2Config(**SMALL, image_size=28, patch_size=14)
    sizes = dict(size=dict(shortest_edge=28), crop_size=dict(height=28, width=28))
    return hf.Dinov2Model(config), hf.BitImageProcessor(**sizes)

def videomae():
    config = hf.VideoMAEConfig(**VISION, num_frames=4, tubelet_size=2)
    return hf.VideoMAEModel(config), hf.VideoMAEImageProcessor(**CROP)

def vjepa2():
    predictor = dict(pred_hidden_size=24, pred_num_attention_heads=2, pred_num_hidden_layers=1)
    config = hf.VJEPA2Config(**dict(SMALL, hidden_size=24), patch_size=16, crop_size=32, frames_per_clip=4, **predictor)
    return hf.VJEPA2Model(config), hf.VJEPA2VideoProcessor(**dict(CROP, size=dict(shortest_edge=36)))

def save(make, folder):
    "Write a model and its processors; returns the folder"
    torch.manual_seed(0)
    for part in make(): part.save_pretrained(folder)
    return folder

def save_sentence_model(make, processor, folder):
    "Write a model of sentence-transformers; `processor` is the class that joins the two processors"
    import sentence_transformers
    from sentence_transformers.base.modules import Transformer
    torch.manual_seed(0)
    net, *parts = make()
    source = folder.with_name(f'{folder.name} source')
    net.save_pretrained(source)
    processor(*parts).save_pretrained(source)
    sentence_transformers.SentenceTransformer(modules=[Transformer(str(source))], device='cpu').save(str(folder))
    return folder
