"""After any changes an index is what a model of it says, and a build of everything is that of a fresh index

Hypothesis chooses the changes: put, fail, remove, put again, renew an encoder, build, roll back, open again.
"""
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from hypothesis.strategies import booleans, sampled_from
from mvrep.core import MODALITIES
from mvrep.encoders.registry import Encoder
from mvrep.index.index import Index, create_index
from mvrep.index.removed import removed_videos
from mvrep.index.storage import N_KEPT, build_numbers
from mvrep.learning.synthetic import SyntheticNetwork
from mvrep.media.segments import Segment

VIDEOS = ('a', 'b', 'c', 'd')
CONTENTS = ('first', 'second')
WIDTHS = dict(audio=3, video=2)
COLUMNS = {modality: f'{modality}_feats' for modality in MODALITIES}
LACKING = {('b', 'first'): 'video', ('c', 'second'): 'audio'} # {(video, content): modality}

def encoder_of(modality, version):
    return Encoder(COLUMNS[modality], modality, SyntheticNetwork(WIDTHS[modality], f'v{version}'))

def segments_of(video_id, content):
    "One to three"
    n = 1+(VIDEOS.index(video_id)+CONTENTS.index(content))%3
    return [Segment(i, 2.*i, 2.) for i in range(n)]

def feats_of(modality, version, video_id, content):
    "Features of the segments of a video, or None"
    if LACKING.get((video_id, content))==modality: return None
    rng = np.random.default_rng([version, MODALITIES.index(modality), VIDEOS.index(video_id), CONTENTS.index(content)])
    return rng.normal(size=(len(segments_of(video_id, content)), WIDTHS[modality])).astype(np.float32)

def put(store, versions, video_id, content):
    feats = {encoder_of(m, v): feats_of(m, v, video_id, content) for m, v in versions.items()}
    store.put(video_id, segments_of(video_id, content), content, feats)

def embed(feats, scale):
    "Mean of the standardised segments of unit norm, of unit norm"
    total = np.zeros(scale.shape[1])
    for row in [] if feats is None else feats.astype(float):
        standardised = (row-scale[0])/scale[1]
        total += standardised/np.linalg.norm(standardised)
    return total/max(np.linalg.norm(total), 1e-12)

# The model

@dataclass
class Live:
    "What the tables hold"
    contents:dict = field(default_factory=dict) # {video: its content}
    versions:dict = field(default_factory=lambda: dict.fromkeys(MODALITIES, 0)) # {modality: version of the encoder}
    unfinished:set = field(default_factory=set) # (modality, video) that the newest encoder has not seen
    removed:list = field(default_factory=list) # Videos that were removed

    def usable(self):
        missing = {video_id for _, video_id in self.unfinished}
        return {o: content for o, content in sorted(self.contents.items()) if o not in missing}

@dataclass(frozen=True)
class Searched:
    "What a build holds"
    contents:dict = field(default_factory=dict) # {video: content}, in order
    embeddings:dict = field(default_factory=dict) # {(modality, video): embedding}
    scale:dict = field(default_factory=dict) # {modality: means and standard deviations}
    fitted_on:frozenset = frozenset() # (modality, video) that the scale was fitted on
    versions:dict = field(default_factory=dict) # {modality: version of the encoder}; empty without videos

    def fits(self, share, embeddings):
        "Was the scale fitted on this share of the videos that have a modality?"
        counts = dict.fromkeys(MODALITIES, 0)
        for (modality, _), embedding in embeddings.items(): counts[modality] += embedding.any()
        return all(self.n_fitted(m)>=share*n for m, n in counts.items())

    def n_fitted(self, modality): return sum(m==modality for m, _ in self.fitted_on)

    def keep(self, kept):
        "Without the other videos"
        embeddings = {(m, o): e for (m, o), e in self.embeddings.items() if o in kept}
        fitted_on = frozenset((m, o) for m, o in self.fitted_on if o in kept)
        return replace(self, contents={o: self.contents[o] for o in kept}, embeddings=embeddings, fitted_on=fitted_on)

def searched(build, versions):
    embeddings = {(m, o): np.array(build.embeddings[m][i]) for m in MODALITIES for i, o in enumerate(build.video_ids)}
    fitted_on = frozenset(key for key, embedding in embeddings.items() if embedding.any())
    return Searched(dict(zip(build.video_ids, build.sources)), embeddings,
                    {m: o.to_array() for m, o in build.scale.items()}, fitted_on, versions)

@cache
def fresh(folder, versions, contents):
    "What an index holds that is made of some videos at once"
    versions, contents = dict(versions), dict(contents)
    index = create_index(folder/f'fresh-{fresh.cache_info().currsize}', tuple(COLUMNS.values()), COLUMNS)
    for m, version in versions.items(): index.store.add_column(encoder_of(m, version))
    for video_id, content in contents.items(): put(index.store, versions, video_id, content)
    index.make_build()
    return searched(index.build, versions if contents else {})

def extended(old, kept, new, live):
    "The kept videos, and the new ones on the old scale"
    old = old.keep(kept)
    embeddings = dict(old.embeddings)
    for video_id in new:
        for m in MODALITIES:
            feats = feats_of(m, live.versions[m], video_id, live.contents[video_id])
            embeddings[m, video_id] = embed(feats, old.scale[m])
    return replace(old, contents={o: live.contents[o] for o in [*kept, *new]}, embeddings=embeddings)

def next_searched(folder, old, live, refit, number):
    "What the next build holds; `old` if there is nothing to do"
    usable = live.usable()
    same_kind = old.versions==(live.versions if usable else {})
    kept = [o for o, content in old.contents.items() if same_kind and usable.get(o)==content]
    new = sorted(set(usable)-set(kept))
    nothing_new = same_kind and len(kept)==len(old.contents) and not new and number>0
    if nothing_new and (not refit or old.fits(1, old.embeddings)): return old
    if not refit and kept:
        found = extended(old, kept, new, live)
        if found.fits(.5, found.embeddings): return found
    return fresh(folder, tuple(live.versions.items()), tuple(usable.items()))

# The changes

class Changes(RuleBasedStateMachine):
    folder = None # Set by the test
    count = 0 # Of the indexes

    def __init__(self):
        super().__init__()
        Changes.count += 1
        self.home = self.folder/f'index-{self.count}'
        self.index = create_index(self.home, tuple(COLUMNS.values()), COLUMNS)
        self.live, self.errors = Live(), set()
        self.searched, self.is_changed = Searched(), False
        self.builds, self.number = {}, 0 # {number: (number before, live, searched)}
        for m in MODALITIES: self.index.store.add_column(encoder_of(m, 0))
        self.reader = Index(self.home) # of another process

    def published(self, content):
        "A build was made and is used; only the last ones of its line stay"
        number = max([self.number, *self.builds])+1
        self.builds[number] = self.number, deepcopy(self.live), content
        line = [number]
        while len(line)<N_KEPT and self.builds[line[-1]][0] in self.builds: line.append(self.builds[line[-1]][0])
        self.builds = {o: self.builds[o] for o in sorted(line)}
        self.number, self.searched = number, content
        self.is_changed = False

    @rule(video_id=sampled_from(VIDEOS), content=sampled_from(CONTENTS))
    def put_video(self, video_id, content):
        self.index.put_videos(pd.DataFrame([dict(video_id=video_id, path=f'{video_id}.mp4', artist=content)]))
        put(self.index.store, self.live.versions, video_id, content)
        self.live.contents[video_id], self.is_changed = content, True
        self.live.unfinished -= {(m, video_id) for m in MODALITIES}
        self.errors.discard(video_id)

    @rule(video_id=sampled_from(VIDEOS))
    def fail(self, video_id):
        self.index.store.put_errors([(video_id, f'{video_id}.mp4', 'is damaged')])
        self.errors.add(video_id)

    @precondition(lambda self: self.live.contents)
    @rule(position=sampled_from(range(4)))
    def remove(self, position):
        video_id = sorted(self.live.contents)[position%len(self.live.contents)]
        self.index.remove([video_id])
        del self.live.contents[video_id]
        self.live.unfinished -= {(m, video_id) for m in MODALITIES}
        self.live.removed.append(video_id)
        self.errors.discard(video_id)
        self.is_changed = True
        if video_id not in self.searched.contents: return
        self.published(self.searched.keep([o for o in self.searched.contents if o!=video_id]))

    @rule(modality=sampled_from(MODALITIES))
    def renew(self, modality):
        "Another version of an encoder: its features are dropped"
        self.live.versions[modality] += 1
        self.index.store.add_column(encoder_of(modality, self.live.versions[modality]), renew=True)
        lost = {(modality, o) for o in self.live.contents}
        self.is_changed |= bool(lost-self.live.unfinished)
        self.live.unfinished |= lost

    @precondition(lambda self: self.live.unfinished)
    @rule()
    def finish(self):
        "Encode what the newest encoders have not seen"
        for m, video_id in sorted(self.live.unfinished):
            content, version = self.live.contents[video_id], self.live.versions[m]
            feats = {encoder_of(m, version): feats_of(m, version, video_id, content)}
            self.index.store.put(video_id, segments_of(video_id, content), content, feats)
            self.errors.discard(video_id)
        self.live.unfinished, self.is_changed = set(), True

    @rule(refit=booleans())
    def build(self, refit):
        if {video_id for _, video_id in self.live.unfinished}-self.errors:
            with pytest.raises(ValueError, match='have not been encoded'): self.index.make_build(refit)
            return
        content = next_searched(self.folder, self.searched, self.live, refit, self.number)
        is_made = content is not self.searched or refit and self.is_changed and self.number>0
        assert self.index.make_build(refit)==is_made
        if is_made: self.published(content)
        self.check_tables(self.index)

    @precondition(lambda self: self.builds)
    @rule(position=sampled_from([None, 0, 1, 2]))
    def roll_back(self, position):
        if position is None: number = self.number if self.is_changed else self.builds[self.number][0]
        else: number = sorted(self.builds)[position%len(self.builds)]
        if number not in self.builds:
            with pytest.raises(ValueError, match='no earlier build'): self.index.rollback()
            return
        self.index.rollback(None if position is None else number)
        _, live, content = self.builds[number]
        self.live, self.searched = deepcopy(live), content
        self.number, self.is_changed = number, False
        self.check_tables(self.index)

    @rule()
    def open_again(self):
        "As after a process that was killed: the next one merges what it left"
        self.index = Index(self.home)
        self.index.store.merge_recent()
        self.check_tables(self.index)

    def check_tables(self, index):
        "Compare the tables with the model"
        store, contents = index.store, self.live.contents
        assert store.done().source.to_dict()==contents
        assert set(store.errors().video_id)==self.errors
        assert sorted(removed_videos(store.db).video_id)==sorted(self.live.removed)
        videos = index.metadata_table.to_pandas()
        assert dict(zip(videos.video_id, videos.artist))==contents
        expected = [(o, s.index, s.start) for o in sorted(contents) for s in segments_of(o, contents[o])]
        assert list(store.keys()[['video_id', 'segment', 'start']].itertuples(index=False, name=None))==expected
        for m in MODALITIES: np.testing.assert_array_equal(store.matrix(COLUMNS[m]), self.features(m))

    def features(self, modality):
        "The features of all segments; NaN where they are missing or not made yet"
        rows = [np.zeros((0, WIDTHS[modality]))]
        for video_id, content in sorted(self.live.contents.items()):
            found = feats_of(modality, self.live.versions[modality], video_id, content)
            if found is None or (modality, video_id) in self.live.unfinished:
                found = np.full((len(segments_of(video_id, content)), WIDTHS[modality]), np.nan)
            rows.append(found)
        return np.concatenate(rows)

    @invariant()
    def every_handle_searches_the_build(self):
        self.reader.reload()
        for index in (self.index, self.reader):
            assert list(index.build.video_ids)==list(self.searched.contents)
            assert index.build.number==self.number and build_numbers(index.builds_folder)==sorted(self.builds)
            found = searched(index.build, self.searched.versions)
            assert found.contents==self.searched.contents
            counts = {m: self.searched.n_fitted(m) for m in MODALITIES}
            assert {m: index.build.fitted_on.get(m, 0) for m in MODALITIES}==counts
            for key, embedding in found.embeddings.items():
                np.testing.assert_allclose(embedding, self.searched.embeddings[key], atol=1e-5)
        built = self.reader.videos.artist.to_dict()
        assert built=={o: self.live.contents[o] for o in built}

QUICK = settings(max_examples=16, stateful_step_count=20, derandomize=True, database=None, deadline=None,
                 phases=[Phase.generate], suppress_health_check=list(HealthCheck))

def test_changes(tmp_path):
    Changes.folder = tmp_path
    run_state_machine_as_test(Changes, settings=QUICK)
