"""What the content hash of a file costs, beside encoding it

python bench/content_hash.py [--out results/content_hash.json]
"""
import argparse
import json
import tempfile
import time
from pathlib import Path
from mvrep.core import sha256
from mvrep.corpus.demo import tiny_corpus
from mvrep.encoders.registry import PRESETS, load_encoder
from mvrep.features.extraction import encode_video

def seconds(function, *args):
    "Time of one call"
    start = time.process_time()
    function(*args)
    return time.process_time()-start

def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', type=Path, default='results/content_hash.json')
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder)/'file'
        file.write_bytes(bytes(2**26))
        rate = 2**26/1e6/min(seconds(sha256, file) for _ in range(3))
    encoders = [load_encoder(o) for o in PRESETS['offline']]
    clip = next((tiny_corpus()/'videos').glob('*.mp4'))
    encode_video(clip, 'first', encoders) # loads what is loaded once
    encoding = min(seconds(encode_video, clip, 'again', encoders) for _ in range(2))
    numbers = dict(hash_MB_per_s=round(rate), encode_s=round(encoding, 2), share_of_50_MB=round(50/rate/encoding, 3))
    out.write_text(json.dumps(numbers, indent=1)+'\n')
    print(numbers)

if __name__=='__main__': main()
