"Files that were joined from recordings: the clock starts again or jumps, or streams change in the middle"
import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from mvrep.core import MediaError
from mvrep.media import joined
from mvrep.media import contact_sheet, cut_clip, frame_number, make_clip, open_media, probe, read_audio, read_frames
from mvrep.media import read_timeline, write_mp4_and_wav
from media_files import B_FRAMES, MPEG2, OPEN_GOP, VP9, change_stamps, join_files, make

def numbers(frames): return [frame_number(o) for o in frames]

def pitch(y, sr=16000):
    "The loudest frequency, Hz; 0 for silence"
    return round(np.abs(np.fft.rfft(y)).argmax()*sr/len(y)) if np.abs(y).max()>1e-3 else 0

@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    "A transport stream with frames 0 to 49, a second of 220 Hz and a second of 233 Hz"
    return make_clip(tmp_path_factory.mktemp('parts')/'a.ts', seconds=2)

def check_parts(path, n, seconds=2., gap=0., n_frames=50, tolerance=.1):
    "Frames and audio of each part are where they belong, from any moment on"
    step = seconds+gap
    info = probe(path)
    assert info.duration==pytest.approx(n*step-gap, abs=tolerance)
    frames = numbers(read_frames(path))
    assert frames==list(range(n_frames))*n
    for i in range(n):
        for offset in (.3, 1.3):
            start = i*step+offset+.03
            shown = numbers(read_frames(path, start, .2, fps=10))
            assert abs(shown[0]-offset*n_frames/seconds)<=3, (i, offset, shown)
    return info

def test_two_recordings(clips, tmp_path):
    path = join_files(tmp_path/'a.ts', clips, clips)
    check_parts(path, 2)
    assert [pitch(read_audio(path, i+.2, .6)) for i in range(4)]==pytest.approx([220, 233]*2, abs=2)
    assert abs(len(read_audio(path))/16000-4)<.1

def test_reading_from_a_moment_equals_reading_everything(clips, tmp_path):
    path = join_files(tmp_path/'a.ts', clips, clips, clips)
    frames, y = read_frames(path, fps=25), read_audio(path, sr=None)
    for start in (0., 1.6, 2., 3.2, 4.48, 5.2):
        first = round(start*25)
        np.testing.assert_array_equal(read_frames(path, start, .4, fps=25)[2:], frames[first+2:first+10])
        first = round(start*44100)
        read = read_audio(path, start, .4, sr=None)
        error = [np.abs(read[10:-10]-y[first+10+i:first+17630+i]).max() for i in (-1, 0, 1)] # times are rounded
        assert min(error)<2e-3

@pytest.mark.parametrize('suffix, fields', [
    ('ts', dict(options=B_FRAMES)), ('ts', dict(options=OPEN_GOP)), ('ts', MPEG2), ('mpg', MPEG2), ('vob', MPEG2),
    ('mkv', dict(options=B_FRAMES)), ('webm', dict(codec='libvpx-vp9', options=VP9, audio='libopus', sr=48000))])
def test_formats(suffix, fields, tmp_path):
    source = make(tmp_path/f'a.{suffix}', seconds=2, **fields)
    info = check_parts(join_files(tmp_path/f'b.{suffix}', source, source), 2)
    assert (info.width, info.height)==(160, 64)

@pytest.mark.parametrize('first, second', [(0, 100), (100, 0), (95_441, 50), (0, 95_441), (3, 20_000)])
def test_clocks_that_jump(first, second, tmp_path):
    "Forward, backward, and across the end of the clock at 95443 s"
    parts = [make(tmp_path/f'{o}.ts', seconds=2, options=B_FRAMES, offset=o) for o in (first, second)]
    check_parts(join_files(tmp_path/'a.ts', *parts), 2)

def test_a_clock_that_ends_is_no_jump(tmp_path):
    check_parts(make(tmp_path/'a.ts', seconds=2, offset=95_441.3), 1)

def test_a_short_gap_stays(tmp_path):
    parts = [make(tmp_path/f'{o}.ts', seconds=2, offset=o) for o in (0, 6)]
    path = join_files(tmp_path/'a.ts', *parts)
    assert probe(path).duration==pytest.approx(8, abs=.1)
    assert numbers(read_frames(path, 3, 2, fps=2))==[49]*4
    assert not np.abs(read_audio(path, 3, 2)).max()
    assert numbers(read_frames(path, 6.5, .1, fps=10))[0] in range(11, 16)

@pytest.mark.parametrize('delay', [.5, -.5])
def test_audio_that_begins_late_stays_in_step(delay, tmp_path):
    "Audio and video of a part are shifted by the same amount"
    first = make(tmp_path/'1.ts', seconds=2)
    later = dict(delay=delay) if delay>0 else dict(times=tuple(np.arange(40)/25+.5))
    second = make(tmp_path/'2.ts', seconds=2, **later)
    path = join_files(tmp_path/'a.ts', first, second)
    y, start = read_audio(path, sr=16000), probe(first).duration
    first_frame = start+(0 if delay>0 else .5)
    assert frame_number(read_frames(path, first_frame+.03, .1, fps=10)[0]) in (0, 1)
    loud = np.abs(y[round((start+.05)*16000):round((start+.3)*16000)]).max()
    assert (loud>.1)==(delay<0)

def test_a_part_without_audio_is_silent(tmp_path):
    loud, silent = make(tmp_path/'1.ts', seconds=2), make(tmp_path/'2.ts', seconds=2, audio='')
    for parts in [(loud, silent), (silent, loud), (loud, silent, loud)]:
        path = join_files(tmp_path/'a.ts', *parts)
        check_parts(path, len(parts))
        is_loud = [bool(np.abs(read_audio(path, 2*j+.3, 1.2)).max()>.01) for j in range(len(parts))]
        assert is_loud==[o is loud for o in parts]

def test_other_functions_read_joined_files(clips, tmp_path):
    path = join_files(tmp_path/'a.ts', clips, clips)
    (tmp_path/'clip.mp4').write_bytes(cut_clip(path, 2.5, 1))
    assert numbers(read_frames(tmp_path/'clip.mp4'))[0] in (11, 12, 13)
    assert contact_sheet(path, n=4, width=160).size==(4*162-2, 96)
    mp4, wav = write_mp4_and_wav(path, tmp_path/'out.mp4', start=1, length=2)
    assert abs(probe(mp4).duration-2)<.11 and abs(probe(wav).duration-2)<.01

def test_a_few_wrong_stamps_are_left_out(clips, tmp_path):
    calls = []
    def stray(stream, seconds):
        calls.append(seconds)
        return seconds+500*(len(calls) in (31, 32, 61))
    path = change_stamps(join_files(tmp_path/'a.ts', clips), stray)
    check_parts(path, 1)

def test_ordinary_files_have_no_timeline(clips, tmp_path):
    for path in (clips, make_clip(tmp_path/'a.mkv', seconds=1), make_clip(tmp_path/'a.mp4', seconds=1)):
        with open_media(path) as media: assert read_timeline(media) is None

REMUX = r'time stamps start again at \d+\.\d s: remux it \(ffmpeg -i a.ts -c copy out.mp4\)'

@pytest.mark.parametrize('stream', [256, 257])
def test_a_stream_that_jumps_alone_is_refused(stream, tmp_path):
    path = make(tmp_path/'a.ts', seconds=6)
    change_stamps(path, lambda pid, seconds: seconds+(300 if pid==stream and seconds>3 else 0))
    for read in (probe, read_frames, read_audio):
        with pytest.raises(MediaError, match=REMUX): read(path)

def test_audio_and_video_without_a_common_clock_are_refused(tmp_path):
    path = make(tmp_path/'a.ts', seconds=2)
    change_stamps(path, lambda pid, seconds: seconds+(1000 if pid==257 else 0))
    with pytest.raises(MediaError, match='different clocks, (999|1000)'): probe(path)

def test_a_part_in_other_streams_is_refused(tmp_path):
    first = make(tmp_path/'1.ts', seconds=2)
    second = make(tmp_path/'2.ts', seconds=2, codec='') # its audio has the number of the video of the first
    path = join_files(tmp_path/'a.ts', first, second)
    with pytest.raises(MediaError, match='the codec of its video changes in the middle'): probe(path)

def test_a_part_in_a_new_stream_is_refused(tmp_path):
    first = make(tmp_path/'1.ts', seconds=2)
    second = make(tmp_path/'2.ts', seconds=2, container_options={'mpegts_start_pid': '0x200'})
    path = join_files(tmp_path/'a.ts', first, second)
    with pytest.raises(MediaError, match='its (audio|video) goes on in another stream after 2'): probe(path)

# Recordings with other settings than the first

WEBM = dict(codec='libvpx-vp9', options=VP9, audio='libopus', sr=48000)
OGV = dict(codec='libvpx', audio='libopus', sr=48000, format='ogg')
LIVE = dict(container_options={'live': '1'})
AUDIO = dict(codec='', audio='pcm_s16le')
FLAC = dict(codec='', audio='flac', seconds=2)
OTHER_SETTINGS = dict(
    size=('mkv', {}, dict(size=(128, 320)), r'video .*\(h264 160×64, then h264 320×128\)'),
    smaller=('mkv', dict(size=(128, 320)), {}, r'video .*\(h264 320×128, then h264 160×64\)'),
    pixels=('mkv', {}, dict(pix_fmt='yuv444p'), 'video .*both h264'),
    coding=('mkv', {}, dict(options={'x264-params': 'cabac=0'}), 'video .*both h264'),
    codec=('mkv', {}, dict(codec='mpeg4'), 'video .*then mpeg4'),
    webm=('webm', WEBM, WEBM|dict(codec='libvpx', options={}), 'video .*vp9 160×64, then vp8'),
    rate=('mkv', {}, dict(sr=22050), 'audio .*aac 44100 Hz stereo, then aac 22050'),
    channels=('mkv', dict(audio='pcm_s16le'), dict(audio='pcm_s16le', layout='mono'), 'audio .*pcm_s16le'),
    audio_codec=('mkv', {}, dict(audio='mp3'), 'audio .*aac 44100 Hz stereo, then mp3'),
    flac=('mkv', dict(audio='flac'), dict(audio='flac', sr=22050), 'audio .*then flac 22050'),
    no_audio=('mkv', {}, dict(audio=''), 'audio .*stereo, then no audio'),
    more_audio=('mkv', dict(audio=''), {}, 'audio .*no audio, then aac'),
    no_video=('mkv', {}, dict(codec=''), 'video .*then no video'),
    more_video=('mkv', dict(codec=''), {}, 'video .*no video, then h264'),
    two_audio=('mkv', {}, dict(n_audio=2), 'audio .*aac 44100 Hz stereo and aac'),
    open_end=('mkv', LIVE, LIVE|dict(size=(128, 320)), 'video .*then h264 320×128'),
    nut=('nut', AUDIO, AUDIO|dict(sr=22050), 'audio .*then pcm_s16le 22050'),
    ogv=('ogv', OGV, OGV|dict(codec=''), 'video .*vp8 160×64, then no video'),
    ogg_flac=('ogg', FLAC, FLAC|dict(sr=22050), 'audio .*then flac 22050'))

def refused(path, reason):
    "All functions that read a file refuse it for the same reason"
    for read in (probe, read_frames, read_audio):
        with pytest.raises(MediaError, match=reason): read(path)

@pytest.mark.parametrize('name', OTHER_SETTINGS)
def test_a_recording_with_other_settings_is_refused(name, tmp_path):
    suffix, first, second, reason = OTHER_SETTINGS[name]
    parts = [make(tmp_path/f'{i}.{suffix}', **dict(seconds=.5)|o) for i, o in enumerate((first, second))]
    path = join_files(tmp_path/f'a.{suffix}', *parts)
    reason = f'recording 2 in it has other {reason}.*: use its recordings one by one'
    with pytest.raises(MediaError, match=reason): probe(path)
    if first.get('codec', 'h264') and first.get('audio', 'aac'): refused(path, reason)

def test_the_recording_with_other_settings_is_named(tmp_path):
    small, large = (make(tmp_path/f'{o}.mkv', seconds=.5, size=(o, 160)) for o in (64, 128))
    with pytest.raises(MediaError, match='recording 3 in it'): probe(join_files(tmp_path/'a.mkv', small, small, large))

def test_settings_that_packets_state_may_differ(tmp_path):
    "As VP9, Opus and MP3 do, also behind a recording of which the length is open"
    same = [make(tmp_path/f'{i}.mkv', seconds=2, **o) for i, o in enumerate(({}, LIVE))]
    forms = [WEBM|dict(layout='mono'), WEBM|dict(size=(128, 320))]
    webm = [make(tmp_path/f'{i}.webm', seconds=2, **o) for i, o in enumerate(forms)]
    mp3 = [make(tmp_path/f'{i}_mp3.mkv', seconds=2, audio='mp3', sr=sr) for i, sr in enumerate((44100, 22050))]
    for parts in (same, webm, mp3):
        path = join_files(tmp_path/f'a{parts[0].suffix}', *parts)
        check_parts(path, 2)
        assert [pitch(read_audio(path, o, .4)) for o in (.1, 1.1, 2.1, 3.1)]==pytest.approx([440]*4, abs=4)

def test_checksums_may_differ(tmp_path):
    "FLAC stores one of its content with the settings; Ogg states the end of the first recording only"
    for suffix, *seconds in (('mkv', 3, 4), ('ogg', 1, 1)):
        parts = [make(tmp_path/f'{i}.{suffix}', **FLAC|dict(seconds=o)) for i, o in enumerate(seconds)]
        path = join_files(tmp_path/f'a.{suffix}', *parts)
        assert probe(path).duration==pytest.approx(sum(seconds), abs=.1)
        assert [pitch(read_audio(path, o, .4)) for o in (.1, 1.1)]==pytest.approx([440]*2, abs=4)

LOST = 'another recording was appended to it, which cannot be read from there: use its recordings one by one'

@pytest.mark.parametrize('suffix, first, second', [
    ('mkv', LIVE, {}), ('ogv', OGV, OGV|dict(size=(128, 320))), ('ogg', FLAC, FLAC),
    ('opus', dict(codec='', audio='libopus', sr=48000), dict(codec='', audio='libopus', sr=48000, layout='mono'))])
def test_a_recording_that_cannot_be_reached_is_refused(suffix, first, second, tmp_path):
    "Behind an open end, or in an Ogg stream with another number"
    parts = [make(tmp_path/f'{i}.{suffix}', **dict(seconds=1)|o) for i, o in enumerate((first, second))]
    path = join_files(tmp_path/f'a.{suffix}', *parts)
    for read in (probe, read_audio):
        with pytest.raises(MediaError, match=LOST): read(path)

def test_the_beginning_of_a_recording_is_refused(tmp_path):
    "Its packets did not arrive"
    part = make(tmp_path/'1.mkv', seconds=1)
    path = tmp_path/'a.mkv'
    path.write_bytes(part.read_bytes()+part.read_bytes()[:200])
    with pytest.raises(MediaError, match=f'recording 2 in it has other|{LOST}'): probe(path)

@pytest.mark.parametrize('suffix, field, second', [
    ('ts', 'video', dict(codec='mpeg2video')), ('ts', 'audio', dict(audio='mp2')), ('ts', 'audio', dict(audio='ac3')),
    ('m2ts', 'video', dict(codec='libx265', options={'x265-params': 'log-level=none'}))])
def test_a_codec_that_changes_in_a_transport_stream_is_refused(suffix, field, second, tmp_path):
    first, second = make(tmp_path/f'1.{suffix}', seconds=1), make(tmp_path/f'2.{suffix}', seconds=1, **second)
    refused(join_files(tmp_path/f'a.{suffix}', first, second), f'the codec of its {field} changes in the middle: use')
    cut = tmp_path/f'cut.{suffix}'
    cut.write_bytes(first.read_bytes()[:-50]+second.read_bytes()) # its packets are no longer in step
    refused(cut, f'the codec of its {field} changes in the middle: use')

def test_an_aac_file_whose_sample_rate_changes_is_refused(tmp_path):
    parts = [make(tmp_path/f'{sr}.aac', seconds=1, codec='', sr=sr) for sr in (44100, 22050)]
    path = join_files(tmp_path/'a.aac', *parts)
    for read in (probe, read_audio):
        with pytest.raises(MediaError, match='the sample rate of its audio changes in the middle: use'): read(path)

def test_a_file_that_ends_inside_a_header_is_judged_by_what_is_there(tmp_path):
    aac = make(tmp_path/'a.aac', seconds=1, codec='', sr=44100)
    cut = tmp_path/'cut.aac'
    cut.write_bytes(aac.read_bytes()+b'\xff\xf1\x5c') # the first bytes of a frame of another rate
    assert joined._changed_rate(cut) is None
    (tmp_path/'cut.ogg').write_bytes(b'OggS\0\2')
    assert joined._find_recordings(tmp_path/'cut.ogg', 'ogg')==[0]

def test_a_table_that_is_longer_than_its_packet_is_left_out(tmp_path):
    table = b'\x02\xb0'+bytes([200])+b'\0'*9+bytes(range(1, 170))+b'\0'
    packet = b'\x47\x40\x20\x10\0'+table
    (tmp_path/'a.ts').write_bytes(packet.ljust(188, b'\xff'))
    assert joined._changed_codec(tmp_path/'a.ts', {32: 'video'}) is None

def test_audio_without_times_is_as_long_as_its_packets(tmp_path):
    "FFmpeg estimates it from the bit rate, which changes"
    parts = [make(tmp_path/f'{o}.ac3', seconds=2, codec='', audio='ac3', layout=o) for o in ('stereo', '5.1')]
    assert probe(join_files(tmp_path/'a.ac3', *parts)).duration==pytest.approx(4, abs=.1)

def test_fragments_that_start_again_are_refused(tmp_path):
    options = {'movflags': 'frag_keyframe+empty_moov+default_base_moof'}
    source = make(tmp_path/'1.mp4', seconds=2, container_options=options)
    assert len(read_frames(source))==50
    path = join_files(tmp_path/'a.mp4', source, source)
    with pytest.raises(MediaError, match='time stamps start again at 2.. s: split it'): probe(path)

# Streams that change in the middle

def both_sizes(folder, first, second):
    "A file whose frames change"
    return join_files(folder/'a.ts', make(folder/'1.ts', seconds=2, **first), make(folder/'2.ts', seconds=2, **second))

CHANGES = dict(
    larger=(dict(size=(64, 160)), dict(size=(128, 320))), smaller=(dict(size=(128, 320)), dict(size=(64, 160))),
    shape=(dict(size=(96, 160)), dict(size=(160, 96))), pixels=({}, dict(pix_fmt='yuv444p')),
    aspect=(dict(pixel_aspect=2), dict(pixel_aspect=1)))

@pytest.mark.parametrize('name', CHANGES)
def test_frames_have_the_size_of_the_first(name, tmp_path):
    path = both_sizes(tmp_path, *CHANGES[name])
    info, frames = probe(path), read_frames(path)
    assert frames.shape==(100, info.height, info.width, 3) and numbers(frames)==list(range(50))*2
    for start in (.5, 1.8, 2.5):
        small = read_frames(path, start, .5, fps=10, size=32)
        assert small.shape[1:3]==read_frames(path, 0, .1, size=32).shape[1:3] and len(small)==5
        assert read_frames(path, start, .2).shape[1:3]==(info.height, info.width)

def test_clips_of_files_whose_size_changes(tmp_path):
    path = both_sizes(tmp_path, *CHANGES['larger'])
    (tmp_path/'clip.mp4').write_bytes(cut_clip(path, 1, 2))
    assert read_frames(tmp_path/'clip.mp4').shape==(50, 64, 160, 3)
    assert contact_sheet(path, n=4).size==(4*122-2, 48)

@pytest.mark.parametrize('first, second', [(44100, 48000), (48000, 22050), (22050, 44100)])
def test_a_sample_rate_that_changes_keeps_the_pitch(first, second, tmp_path):
    path = both_sizes(tmp_path, dict(sr=first, audio='mp2'), dict(sr=second, audio='mp2'))
    assert [pitch(read_audio(path, o, .4)) for o in (.05, 1.05, 2.1, 3.1)]==pytest.approx([440]*4, abs=4)
    assert abs(len(read_audio(path, sr=None))/first-4)<.15
    assert len(read_audio(path, 2.5, 1, sr=None))==first

@pytest.mark.parametrize('first, second', [('stereo', 'mono'), ('mono', 'stereo'), ('5.1', 'stereo'), ('mono', '5.1')])
def test_channels_that_change_keep_the_pitch(first, second, tmp_path):
    path = both_sizes(tmp_path, dict(layout=first), dict(layout=second))
    assert [pitch(read_audio(path, o, .4)) for o in (.05, 1.05, 2.1, 3.1)]==pytest.approx([440]*4, abs=4)
    assert abs(len(read_audio(path))/16000-4)<.15 and min(np.abs(read_audio(path, o, .4)).max() for o in (1, 3))>.05

def turned(source, dest, degrees):
    "A copy of a transport stream whose frames ask players to turn them"
    with av.open(str(source)) as given, av.open(str(dest), 'w', format='mpegts') as made:
        streams = {o.index: made.add_stream_from_template(o) for o in given.streams}
        how = f'h264_metadata=display_orientation=insert:rotate={degrees}'
        turn = BitStreamFilterContext(how, given.streams.video[0])
        packets = list(given.demux())
        for packet in packets:
            if not packet.size: continue
            for o in turn.filter(packet) if packet.stream.type=='video' else [packet]:
                o.stream = streams[packet.stream_index]
                made.mux(o)
    return dest

@pytest.mark.parametrize('degrees', [90, 180])
def test_frames_that_are_turned_in_the_middle(degrees, tmp_path):
    "They keep the shape of the first frame"
    source = make(tmp_path/'1.ts', seconds=2, audio='mp2', options={'g': '1'}) # each frame asks for it
    path = join_files(tmp_path/'a.ts', source, turned(source, tmp_path/'2.ts', degrees))
    info, frames = probe(path), read_frames(path)
    assert info.rotation==0 and frames.shape==(100, info.height, info.width, 3)
    assert numbers(frames[:50])==list(range(50))
    if degrees==180: # FFmpeg's filter leaves out the second frame
        assert numbers(np.rot90(frames[52:], 2, axes=(1, 2)))==list(range(2, 50))

APPENDED = dict(
    mp4={}, mov={}, m4v={}, flv=dict(codec='flv'), avi=dict(codec='mpeg4', audio='mp3'), m4a=dict(codec=''),
    wmv=dict(codec='wmv2', audio='mp3', format='asf'), wav=dict(codec='', audio='pcm_s16le'),
    flac=dict(codec='', audio='flac'), aiff=dict(codec='', audio='pcm_s16be'), caf=dict(codec='', audio='pcm_s16le'),
    wv=dict(codec='', audio='wavpack'), tta=dict(codec='', audio='tta'), au=dict(codec='', audio='pcm_s16be'),
    w64=dict(codec='', audio='pcm_s16le'), rm=dict(codec='', audio='ac3'), mxf=MPEG2|dict(audio='pcm_s16le'),
    ivf=dict(codec='libvpx', audio=''), amr=dict(codec='', audio='libopencore_amrnb', sr=8000, layout='mono'),
    voc=dict(codec='', audio='pcm_u8', sr=16000, layout='mono'), y4m=dict(codec='wrapped_avframe', audio=''),
    wtv=dict(codec='mpeg2video', audio='mp2'))

@pytest.mark.parametrize('suffix', APPENDED)
def test_a_file_that_was_appended_is_not_lost_without_notice(suffix, tmp_path):
    "Players show the first file; half of the recording would be missing"
    source = make(tmp_path/f'1.{suffix}', seconds=1, **APPENDED[suffix])
    assert abs(probe(source).duration-1)<.2
    path = join_files(tmp_path/f'a.{suffix}', source, source)
    for read in (probe, read_audio if probe(source).has_audio else read_frames):
        with pytest.raises(MediaError, match='another file was appended to it'): read(path)

@pytest.mark.parametrize('suffix, fields', [
    ('ogg', dict(codec='', audio='libopus', sr=48000)), ('mp3', dict(codec='', audio='mp3')),
    ('aac', dict(codec='', audio='aac')), ('ogv', dict(codec='libvpx', audio='libopus', sr=48000, format='ogg'))])
def test_formats_that_may_be_appended_are_read_in_full(suffix, fields, tmp_path):
    source = make(tmp_path/f'1.{suffix}', seconds=2, **fields)
    path = join_files(tmp_path/f'a.{suffix}', source, source)
    assert abs(probe(path).duration-4)<.2 and abs(len(read_audio(path))/16000-4)<.2
    assert [pitch(read_audio(path, o, .4)) for o in (.1, 1.1, 2.1, 3.1)]==pytest.approx([440]*4, abs=4)
