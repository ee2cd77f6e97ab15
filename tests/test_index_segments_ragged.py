"The nearest segments in an irregular index against their definition"
import pytest
from ragged import BUILT, made_features, n_segments, segments_of, unit
from mvrep.index.segments import open_segments

@pytest.mark.parametrize('by, in_memory', [('audio', True), ('audio', False), ('video', True), ('video', False)])
def test_the_nearest_segments_of_other_videos(ragged, by, in_memory):
    vectors, scale = {}, ragged.build.scale[by]
    for video_id, feats in made_features(ragged, by).items():
        for segment, row in zip(segments_of(video_id), feats):
            vectors[f'{video_id}_{segment.index}'] = unit((row-scale.mean)/scale.std)
    searched = open_segments(ragged, by, in_memory)
    assert len(searched.keys)==sum(map(n_segments, BUILT)) and searched.most==5
    for query in ('c02_1', 'late_4', 'a_unlabelled_0'):
        own = query.rpartition('_')[0]
        expected = {o: vectors[query]@x for o, x in vectors.items() if o.rpartition('_')[0]!=own}
        order = sorted(expected, key=lambda o: -expected[o])
        (rows, scores), = searched.search([query], k=7)
        assert list(searched.keys.index[rows])==order[:7]
        assert scores==pytest.approx([expected[o] for o in order[:7]], abs=1e-5)
        (rows, _), = searched.search([query], k=7, one_per_video=True)
        videos = list(dict.fromkeys(o.rpartition('_')[0] for o in order))
        assert list(searched.keys.video_id.iloc[rows])==videos[:7]
    lacking, = searched.search([f'no_{by}_0'])
    assert len(lacking[0])==0
