"A removal that is stopped at random moments; bench/kills.py stops index, add, train and remove 20 times each"
import random
from interruptions import run_round, undisturbed
from mvrep.index.examples import tiny_index

def test_a_stopped_removal_ends_like_an_undisturbed_one(tmp_path):
    index = tiny_index(tmp_path)
    words = ['remove', 'IX', *index.build.video_ids[:2]]
    plan = undisturbed('remove', words, index.folder, tmp_path/'undisturbed', 'no video')
    assert len(plan.expected.arrays['video_ids'])==10
    stops = run_round(plan, tmp_path/'stopped', random.Random(1), 2)
    assert len(stops)<=2 and all(o.videos in (10, 12) for o in stops)
