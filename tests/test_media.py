"""Files from the wild, made here: what is read after a jump is what a decode of the whole file would have given"""
import math, os
from fractions import Fraction
from pathlib import Path
import av, numpy as np, pytest
from mvrep.core import MediaError
from mvrep.media import contact_sheet, probe, read_audio, read_frames, write_clip

def picture(i, h, w):
    "Picture `i`: its number in ten blocks of the top row, and a gradient below"
    x = np.zeros((h,w,3), 'uint8')
    x[..., 2] = np.linspace(0, 255, h)[:,None]
    for b in range(10): x[:h//2, b*w//10:(b+1)*w//10] = 255*(i>>b&1)
    return x

def number(x):
    "The number that a picture shows"
    h,w = x.shape[:2]
    return sum(int(x[h//8:h//3, int((b+.5)*w/10), 0].mean()>128)<<b for b in range(10))

def make(path, times=None, seconds=3, fps=25, size=(64,160), codec='libx264', opts=None, rotation=0, sar=None, pix='yuv420p',
         audio='aac', n_audio=1, delay=0., audio_seconds=None, offset=0., sr=44100, format=None, options=None):
    "A file with pictures at `times` and, `delay` later, a 440 Hz tone; everything shifted by `offset` on the file's clock"
    tb,(h,w) = Fraction(1, 90000),size
    times = [i/fps for i in range(int(seconds*fps))] if times is None else times
    with av.open(str(path), 'w', format=format, options=options or {}) as c:
        streams = []
        if codec:
            v = c.add_stream(codec, rate=fps, options=opts or {})
            v.width,v.height,v.pix_fmt = w,h,pix
            v.codec_context.time_base = tb if codec.startswith('libx') else Fraction(1, fps)
            if sar: v.codec_context.sample_aspect_ratio = sar
            if rotation: v.set_display_rotation(rotation)
        sounds = [c.add_stream(audio, rate=sr, layout='stereo' if audio!='pcm_u8' else 'mono') for _ in range(n_audio if audio else 0)]
        packets = []
        if codec:
            for i,t in enumerate(times):
                f = av.VideoFrame.from_ndarray(picture(i, h, w), format='rgb24')
                f.time_base = v.codec_context.time_base
                f.pts = round((t+offset)/f.time_base)
                packets += v.encode(f)
            packets += v.encode()
        for k,a in enumerate(sounds):
            t = np.arange(int((seconds if audio_seconds is None else audio_seconds)*sr))/sr
            y = (.5*np.sin(2*np.pi*440*(k+1)*t)*(.2+.8*(t%1<.5))).astype('float32')
            fmt = a.codec_context.format.name
            n = a.codec_context.frame_size or 1024
            for i in range(0, len(y), n):
                f = av.AudioFrame.from_ndarray(np.stack([y[i:i+n], y[i:i+n]*0]), format='fltp', layout='stereo')
                f.sample_rate,f.time_base,f.pts = sr,Fraction(1,sr),i+round((offset+delay)*sr)
                packets += a.encode(f)
            packets += a.encode()
        for p in sorted(packets, key=lambda p: float(p.dts*p.time_base)): c.mux(p)
    return path

def full(path):
    "Times and pictures of a plain decode of the whole file, times from where the earliest stream begins"
    with av.open(str(path)) as c:
        v = c.streams.video[0]
        origin = min(float(s.start_time*s.time_base) for s in (*c.streams.video[:1], *c.streams.audio[:1]))
        fs = [(float((f.pts if f.pts is not None else f.dts)*f.time_base)-origin, f) for f in c.decode(v)]
        turn = lambda f: np.rot90(f.reformat(width=round(f.width*float(v.sample_aspect_ratio or 1)), format='rgb24', threads=1).to_ndarray(), round(f.rotation/90)%4)
        return np.array([t for t,_ in fs]), np.stack([turn(f) for _,f in fs])

B,FAST = dict(g='25', bf='3'),dict(g='10')
OPEN = {'g': '12', 'x264-params': 'open-gop=1:bframes=3:b-adapt=0:scenecut=0'}
MPEG2 = dict(codec='mpeg2video', opts=dict(g='12', bf='2'), audio='mp2', sr=48000)
VFR = np.random.default_rng(0).choice([.02,.04,.1,.3], 50).cumsum()
FORMS = dict(
    constant=('mp4', dict(opts=dict(g='25', bf='0'))), b_frames=('mp4', dict(opts=B)), open_gop=('mp4', dict(opts=OPEN)), one_gop=('mp4', dict(opts=dict(g='250'), fps=30)),
    variable=('mp4', dict(times=VFR, opts=FAST, seconds=6)), variable_mkv=('mkv', dict(times=VFR, opts=FAST, seconds=6)),
    rotated_90=('mp4', dict(rotation=90, opts=FAST)), rotated_180=('mp4', dict(rotation=180, opts=FAST)), rotated_270=('mp4', dict(rotation=-90, opts=FAST)),
    odd=('mp4', dict(size=(61,151), pix='yuv444p', opts=FAST)), anamorphic=('mp4', dict(sar=Fraction(4,3), opts=FAST)), turned_anamorphic=('mp4', dict(sar=Fraction(4,3), rotation=90, opts=FAST)),
    late_sound=('mp4', dict(delay=.7, opts=FAST)), late_picture=('mp4', dict(times=np.arange(40)/25+1.3, opts=FAST)),
    offset=('mp4', dict(offset=5., opts=B)), offset_mkv=('mkv', dict(offset=5., opts=B)), negative=('mp4', dict(offset=-.5, opts=B)), fragments=('mp4', dict(opts=B, options=dict(movflags='frag_keyframe+empty_moov'))),
    transport=('ts', dict(offset=10., opts=OPEN)), transport_mpeg2=('ts', MPEG2), program=('mpg', MPEG2), avi=('avi', MPEG2|dict(codec='mpeg4')), flash=('flv', dict(opts=B)),
    hevc=('mp4', dict(codec='libx265', opts={'x265-params': 'keyint=12:bframes=3:open-gop=1:log-level=none'})), webm=('webm', dict(codec='libvpx-vp9', opts={'g':'12', 'deadline':'realtime', 'cpu-used':'8'}, audio='libopus', sr=48000)))

@pytest.mark.parametrize('form', FORMS)
def test_frames_after_a_jump(form, tmp_path):
    ext,kw = FORMS[form]
    p = make(tmp_path/f'a.{ext}', **kw)
    times,pictures = full(p)
    i = probe(p)
    assert (i.height,i.width)==pictures.shape[1:3] and abs(i.duration-max(3., times[-1]))<.7
    for start in [0., *times[::5], *(times[::7]+.013)]:
        if start<0: continue
        want = pictures[(times>=start-1e-6)&(times<start+.2-1e-6)]
        if not len(want): continue
        np.testing.assert_array_equal(read_frames(p, start, .2), want, err_msg=f'{form} at {start}')

@pytest.mark.parametrize('form', ['constant', 'variable', 'transport', 'late_picture'])
def test_resampled_pictures_are_those_on_the_screen(form, tmp_path):
    ext,kw = FORMS[form]
    p = make(tmp_path/f'a.{ext}', **kw)
    times,pictures = full(p)
    for start in 0., .5, 1.21:
        got = read_frames(p, start, 1., fps=10)
        first = np.searchsorted(times, start-1e-6)
        want = [max(first, np.searchsorted(times, start+k/10+1e-6, 'right')-1) for k in range(10)]
        np.testing.assert_array_equal([number(x) for x in got], [number(pictures[k]) for k in want])

def whole_sound(p):
    "Mono samples of a plain decode from time zero on, and their rate"
    with av.open(str(p)) as c:
        starts = [float(s.start_time*s.time_base) for s in (*c.streams.video[:1], *c.streams.audio[:1]) if s.start_time is not None]
        ys,t0 = [],None
        for f in c.decode(audio=0):
            if t0 is None: t0 = float(f.pts*f.time_base)-min(starts, default=0.)
            x = f.to_ndarray()
            if not f.format.is_planar: x = x.reshape(-1, f.layout.nb_channels).T
            ys.append(x.mean(0)/{'i2': 2**15, 'i4': 2**31}.get(x.dtype.str[1:], 1))
    return np.r_[np.zeros(max(0, round(t0*f.sample_rate))), np.concatenate(ys)], f.sample_rate

SOUNDS = dict(aac=('mp4', {}), late=('mp4', dict(delay=.7)), pcm=('mov', dict(audio='pcm_s16le')), wav=('wav', dict(codec=None, audio='pcm_s16le')), mp3=('mp3', dict(codec=None, audio='libmp3lame')),
    flac=('flac', dict(codec=None, audio='flac')), opus=('ogg', dict(codec=None, audio='libopus', sr=48000)), avi=('avi', MPEG2|dict(codec='mpeg4')))

@pytest.mark.parametrize('form', SOUNDS)
def test_sound_after_a_jump(form, tmp_path):
    ext,kw = SOUNDS[form]
    p = make(tmp_path/f'a.{ext}', **dict(opts=FAST)|kw)
    want,rate = whole_sound(p)
    for start in 0., .1, .737, 1.2, 2.4:
        got,at = read_audio(p, start, .5, sr=None),round(start*rate)
        assert len(got)==round(.5*rate)
        np.testing.assert_allclose(got, want[at:at+len(got)], atol=2e-3, err_msg=f'{form} at {start}')
    assert abs(len(read_audio(p, 1., 1.))-16000)<=1

@pytest.mark.parametrize('form', ['constant', 'late_sound', 'late_picture', 'offset', 'offset_mkv', 'transport', 'flash', 'webm'])
def test_sound_and_picture_in_step(form, tmp_path):
    "The tone gets loud at 1 s of its own time, which picture 25 of its own time shows; they are read at one start"
    ext,kw = FORMS[form]
    kw = dict(kw)
    sr,delay = kw.get('sr', 44100),kw.get('delay', 0.)-(1.3 if form=='late_picture' else 0.)
    p = make(tmp_path/f'a.{ext}', **kw)
    for start in 0., .4:
        x = read_frames(p, start, 2.6, fps=25)
        shown = [number(o) for o in x]
        at = next(k for k in range(1, len(x)) if shown[k]==20)/25+start # the moment of picture 20
        y = read_audio(p, start, 2.6, sr=None)
        loud = np.array([np.abs(o).max() for o in y[:len(y)//256*256].reshape(-1,256)])>.15
        on = next(k for k in range(20, len(loud)) if loud[k] and not loud[k-8:k-1].any() and (k*256/sr+start-delay-at)>-.5)*256/sr+start
        assert abs((on-at)-(.2+delay))<=1024/sr+256/sr+1e-3, (form, start, on, at)

def test_two_sounds_uses_the_first(tmp_path):
    p = make(tmp_path/'a.mkv', n_audio=2, opts=FAST)
    y = read_audio(p, .1, .3)
    assert probe(p).n_audio==2 and abs(np.abs(np.fft.rfft(y)).argmax()/.3-440)<5

def test_one_stream_only(tmp_path):
    v,a = make(tmp_path/'v.mp4', audio=None),make(tmp_path/'a.m4a', codec=None, format='ipod')
    assert probe(v).has_video and not probe(v).has_audio and probe(a).has_audio and not probe(a).has_video
    with pytest.raises(MediaError, match='no audio'): read_audio(v)
    with pytest.raises(MediaError, match='no video'): read_frames(a)
    assert [o.suffix for o in write_clip(v, tmp_path/'w1')]==['.mp4'] and [o.suffix for o in write_clip(a, tmp_path/'w2.mp4')]==['.wav']

def test_streams_of_different_length(tmp_path):
    "Sound without picture keeps the last picture, picture without sound is silent, and after both there is nothing"
    p,q = make(tmp_path/'a.mp4', audio_seconds=6, opts=FAST),make(tmp_path/'b.mp4', audio_seconds=1, opts=FAST)
    x = read_frames(p, 4., 1., fps=10)
    assert [number(o) for o in x]==[74]*10
    y = read_audio(q, 2., .5)
    assert len(y)==8000 and not y.any() and len(read_audio(q, .5, 2.))==32000
    for f,o in (read_frames,p),(read_audio,q):
        with pytest.raises(MediaError, match='it lasts'): f(o, 7.)

def test_stills_and_very_short(tmp_path):
    still = make(tmp_path/'still.mp4', times=[0., 5., 10.], seconds=12, opts=FAST)
    assert [number(x) for x in read_frames(still, 6., 2., fps=2)]==[1]*4 and len(read_frames(still, 6., 2.))==1
    for n,p in (1,make(tmp_path/'one.mp4', times=[0.], audio=None)),(7,make(tmp_path/'short.mp4', seconds=.3)),(1,make(tmp_path/'one.mkv', times=[0.], audio=None)):
        i = probe(p)
        assert 0<i.duration<.4 and len(read_frames(p, 0, i.duration))==len(read_frames(p))==n and read_frames(p, 0, i.duration, fps=10).shape[0]>=1
    assert contact_sheet(p, n=3).size==(3*122-2, 48)

def test_cover_art_is_no_video(tmp_path):
    from mutagen.id3 import APIC, TIT2, ID3
    import io
    from PIL import Image
    p,buf = make(tmp_path/'a.mp3', codec=None, audio='libmp3lame'),io.BytesIO()
    Image.new('RGB', (64,64), 'red').save(buf, 'PNG')
    tags = ID3()
    tags.add(APIC(mime='image/png', type=3, data=buf.getvalue()))
    tags.add(TIT2(text='Tön'))
    tags.save(p)
    i = probe(p)
    assert (i.has_video, i.has_audio, i.tags)==(False, True, {'title': 'Tön'})

def test_length_of_a_stream_without_header(tmp_path):
    "Quiet and loud parts have very different bit rates, so that a length guessed from the first would be wrong"
    p,t = tmp_path/'a.mp3',np.arange(20*44100)/44100
    y = np.where(t<5, .1*np.sin(2*np.pi*300*t), .3*np.random.default_rng(0).standard_normal(len(t))).astype('float32')
    with av.open(str(p), 'w', options=dict(write_xing='0')) as c:
        a = c.add_stream('libmp3lame', rate=44100, layout='stereo', options=dict(compression_level='9'))
        a.codec_context.qscale = True
        f = av.AudioFrame.from_ndarray(np.stack([y,y]), format='fltp', layout='stereo')
        f.sample_rate,f.pts = 44100,0
        for o in a.encode(f)+a.encode(): c.mux(o)
    assert abs(probe(p).duration-20)<.1 and abs(len(read_audio(p))/16000-20)<.1

def test_names(tmp_path):
    src = make(tmp_path/'a.mp4').read_bytes()
    for name in 'Ünïcode – 音楽 🎬.mp4', 'x'*250+'.mp4', 'a %03d: [b] #?.mp4', '-y.mp4':
        (tmp_path/name).write_bytes(src)
        assert len(read_frames(tmp_path/name, 1., .2))==5
    with pytest.raises(MediaError): probe('x'*300)

def bad_files(d):
    from PIL import Image
    good = make(d/'good.mp4').read_bytes()
    (d/'song.m3u8').write_text(f'#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{d}/good.mp4\n#EXT-X-ENDLIST\n')
    (d/'list.mp4').write_text(f'ffconcat version 1.0\nfile {d}/good.mp4\n')
    (d/'text.mp4').write_text('Not a video.\n'*500)
    (d/'empty.mp4').touch()
    (d/'moov.mp4').write_bytes(good[:len(good)//2])
    (d/'noise.mp4').write_bytes(np.random.default_rng(0).bytes(20000))
    (d/'zeros.mp4').write_bytes(bytes(20000))
    (d/'ftyp.mp4').write_bytes(good[:32])
    (d/'folder.mp4').mkdir()
    os.mkfifo(d/'pipe.mp4')
    (d/'loop.mp4').symlink_to(d/'loop.mp4')
    (d/'gone.mp4').symlink_to(d/'nothing')
    Image.new('RGB', (64,64)).save(d/'picture.png')
    (d/'picture.png').rename(d/'picture.mp4')
    with av.open(str(d/'raw.h264'), 'w', format='h264') as c:
        v = c.add_stream('libx264', rate=25)
        v.width,v.height,v.pix_fmt = 160,64,'yuv420p'
        for i in range(5): c.mux(v.encode(av.VideoFrame.from_ndarray(picture(i, 64, 160), format='rgb24')))
        c.mux(v.encode())
    return [o for o in sorted(d.iterdir()) if o.name!='good.mp4'] + [d/'missing.mp4']

def test_every_refusal_has_a_reason(tmp_path):
    for p in bad_files(tmp_path):
        for f in probe, read_frames, read_audio:
            with pytest.raises(MediaError) as e: f(p)
            assert e.value.path==str(p) and ':' in e.value.reason and len(e.value.reason)>20, p

@pytest.mark.skipif(not hasattr(os, 'geteuid') or os.geteuid()==0, reason='root may read everything')
def test_unreadable(tmp_path):
    p = make(tmp_path/'a.mp4')
    p.chmod(0)
    with pytest.raises(MediaError, match='permissions'): probe(p)

@pytest.mark.parametrize('ext', ['mp4', 'mkv', 'ts'])
def test_cut_off_is_used_up_to_the_cut(ext, tmp_path):
    p = make(tmp_path/f'a.{ext}', seconds=8, opts=FAST, options=dict(movflags='faststart') if ext=='mp4' else {})
    p.write_bytes(p.read_bytes()[:int(p.stat().st_size*.5)])
    assert len(read_frames(p, 1., 1.))==25 and len(read_audio(p, 1., 1.))==16000
    for f in read_frames, read_audio:
        with pytest.raises(MediaError, match='it lasts' if ext=='ts' else 'breaks off'): f(p, 6.5, 1.)
    n = len(read_frames(p))
    assert 70<n<140 and 2.5<len(read_audio(p))/16000<5.6

@pytest.mark.parametrize('ext', ['mp4', 'mkv', 'ts', 'avi'])
def test_damage_is_a_result_or_a_media_error(ext, tmp_path):
    src = make(tmp_path/f'a.{ext}', **(MPEG2 if ext=='avi' else dict(opts=FAST))).read_bytes()
    rng,p = np.random.default_rng(0),tmp_path/f'b.{ext}'
    for k in range(12):
        b = np.frombuffer(src, 'uint8').copy()
        b[rng.integers(0, len(b), 5*4**(k%5))] = 0
        p.write_bytes(b.tobytes()[:None if k%2 else rng.integers(100, len(b))])
        for f in probe, read_frames, read_audio, lambda p: read_frames(p, 1.5, .5, fps=10), lambda p: read_audio(p, 1.5, .5):
            try: f(p)
            except MediaError as e: assert e.reason

@pytest.mark.parametrize('angle', [0, 90, 180, -90])
def test_mirrored(angle, tmp_path):
    "A display matrix may also mirror; the reference is the same picture turned and then mirrored"
    p = tmp_path/'a.mp4'
    with av.open(str(p), 'w') as c:
        v = c.add_stream('libx264', rate=25, options=dict(crf='1'))
        v.width,v.height,v.pix_fmt = 160,64,'yuv444p'
        v.set_display_rotation(angle, hflip=True)
        c.mux(v.encode(av.VideoFrame.from_ndarray(picture(5, 64, 160), format='rgb24')))
        c.mux(v.encode())
    want = np.rot90(picture(5, 64, 160), angle//90%4)[:, ::-1]
    assert np.abs(read_frames(p)[0].astype(int)-want).mean()<8

def test_wrong_arguments(tmp_path):
    p = make(tmp_path/'a.mp4')
    for kw in dict(start=-1), dict(length=0):
        for f in read_frames, read_audio:
            with pytest.raises(ValueError, match='want'): f(p, **kw)

def test_clip_has_the_form_of_the_thesis(tmp_path):
    p = make(tmp_path/'a.mov', opts=FAST, audio='pcm_s16le')
    mp4,wav = write_clip(p, tmp_path/'b.mp4', start=.5, length=2)
    v,a = probe(mp4),probe(wav)
    assert (v.width, v.height, v.fps, v.video_codec, v.duration)==(768, 432, 10, 'h264', 2.) and (a.sr, a.channels, a.duration)==(16000, 1, 2.)
    assert [number(x) for x in read_frames(mp4)]==[number(x) for x in read_frames(p, .5, 2, fps=10)]
    np.testing.assert_allclose(read_audio(wav), read_audio(p, .5, 2), atol=1e-4)

@pytest.mark.skipif(not os.environ.get('MVREP_SHARED'), reason='set MVREP_SHARED to the folder that holds av_clips')
def test_real_files():
    for p in sorted((Path(os.environ['MVREP_SHARED'])/'av_clips').iterdir()):
        i = probe(p)
        if i.has_audio: assert abs(len(read_audio(p, 1.5, 2.))-32000)<=1
        if not i.has_video: continue
        with av.open(str(p)) as c:
            small = [(f.time-i.start_time, f.reformat(width=128, height=72, format='rgb24', threads=1).to_ndarray()) for f in c.decode(video=0)]
        for start in .0, i.duration*.37, i.duration*.8:
            want = [x for t,x in small if start-1e-6<=t<start+.5-1e-6]
            np.testing.assert_array_equal(read_frames(p, start, .5, size=(72,128)), want)
