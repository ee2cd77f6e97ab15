"Readers of public data sets"
import os
from pathlib import Path
import pandas as pd
import pytest
from mvrep.core import data_folder
from mvrep.corpus.manifest import CorpusError
from mvrep.corpus.public import join_msd, read_msd

def test_msd(tmp_path):
    (tmp_path/'ids.txt').write_bytes(b'TRCSCVP128F9342C96\r\nTRGXVIQ128E0792864\r\nTRCSCVP128F9342C96\r\n')
    t = read_msd(tmp_path/'ids.txt')
    assert len(t)==3 and t.track_id.nunique()==2
    df = pd.DataFrame(dict(video_id=list('abcd'), path=list('abcd'), msd_id=['TRCSCVP128F9342C96', None, 'TRCSCVP128F9342C96', 'TRSXVUT128F9303C87']))
    out,n = join_msd(df, t)
    assert list(out.msd_id.notna())==[True, False, True, False]
    assert {k: n[k] for k in ('lines', 'tracks', 'tracks_matched', 'tracks_unmatched', 'videos_matched', 'videos_unmatched')}==dict(lines=3, tracks=2, tracks_matched=1, tracks_unmatched=1, videos_matched=2, videos_unmatched=2)
    for o in (b'', b'TRCSCVP128F9342C96\nnonsense', b'TRCSCVP128F9342C96<SEP>x', 'TRCSCVP128F9342C96 é'.encode('latin1')):
        (tmp_path/'bad.txt').write_bytes(o)
        with pytest.raises(CorpusError): read_msd(tmp_path/'bad.txt')
    with pytest.raises(CorpusError): read_msd(tmp_path/'none.txt')
    with pytest.raises(CorpusError, match='no corpus artist, no corpus title, no tracks artist'): join_msd(df[['video_id', 'path']], t)

def test_msd_by_name(tmp_path):
    (tmp_path/'t.txt').write_text('TRBBBBB128F9342C96<SEP>SO2<SEP>The Band<SEP>Song\nTRAAAAA128F9342C96<SEP>SO1<SEP>band<SEP>Song (Remastered 2009)\nTRCCCCC128F9342C96<SEP>SO3<SEP>Other<SEP>Song\n')
    df = pd.DataFrame(dict(video_id=list('abc'), path=list('abc'), artist=['BAND', 'Other', None], title=['Song ft. X', 'Other song', 'Song']))
    out,n = join_msd(df, read_msd(tmp_path/'t.txt'))
    assert out.msd_id[0]=='TRAAAAA128F9342C96' and out.msd_id[1:].isna().all() and n['videos_with_several_tracks']==1 and n['tracks_matched']==1

@pytest.mark.skipif(not os.environ.get('MVREP_SHARED'), reason='MVREP_SHARED is not set')
def test_list_of_the_thesis():
    tracks = read_msd(data_folder('metadata', 'msdids.txt'))
    assert len(tracks)==10045 and tracks.track_id.nunique()==9416
