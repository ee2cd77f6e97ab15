"Test files: containers, codecs, late streams, rotations, variable frame rates, and files that are refused"
import os
from dataclasses import dataclass, field
from fractions import Fraction
import av
import numpy as np
from PIL import Image
from mvrep.media.synthetic import numbered_frame

@dataclass(frozen=True)
class Form:
    "How a test file is made"
    suffix:str='mp4' # Of the file name; decides the container
    seconds:float=3 # Duration, seconds
    times:tuple|None=None # Time of each frame, seconds; a constant rate if None
    fps:int=25 # Frames per second
    size:tuple=(64, 160) # Stored height and width, pixels
    codec:str='libx264' # Video codec; empty for no video
    options:dict=field(default_factory=dict) # Of the video codec
    pix_fmt:str='yuv420p' # Pixel format
    rotation:int=0 # Of the display matrix, degrees
    pixel_aspect:Fraction|None=None # Width of a pixel divided by its height
    audio:str='aac' # Audio codec; empty for no audio
    layout:str='stereo' # Of the channels
    n_audio:int=1 # Audio streams; stream i has a tone of 440*(i+1) Hz
    sr:int=44100 # Sample rate, Hz
    delay:float=0. # Of the audio, seconds
    audio_seconds:float|None=None # Duration of the audio, seconds; that of the file if None
    offset:float=0. # Of everything on the file's clock, seconds
    format:str|None=None # Container, if the suffix does not decide it
    container_options:dict=field(default_factory=dict) # Of the container

def add_video(container, form):
    "A video stream"
    stream = container.add_stream(form.codec, rate=form.fps, options=form.options)
    stream.height, stream.width = form.size
    stream.pix_fmt = form.pix_fmt
    context = stream.codec_context
    context.time_base = Fraction(1, 90000) if form.codec.startswith('libx') else Fraction(1, form.fps)
    if form.pixel_aspect: context.sample_aspect_ratio = form.pixel_aspect
    if form.rotation: stream.set_display_rotation(form.rotation)
    return stream

def encode_video(stream, form):
    "Packets of numbered frames"
    times = form.times
    if times is None: times = [i/form.fps for i in range(int(form.seconds*form.fps))]
    packets, time_base = [], stream.codec_context.time_base
    for i,time in enumerate(times):
        frame = av.VideoFrame.from_ndarray(numbered_frame(i, form.fps, form.size), 'rgb24')
        frame.time_base = time_base
        frame.pts = round((time+form.offset)/time_base)
        packets += stream.encode(frame)
    return packets+stream.encode()

def tone(hz, seconds, sr):
    "A tone that is loud in the first half of each second, float32"
    t = np.arange(int(seconds*sr))/sr
    return (.5*np.sin(2*np.pi*hz*t)*(.2+.8*(t%1<.5))).astype('float32')

def encode_audio(stream, form, hz):
    "Packets of a tone on the left channel"
    y = tone(hz, form.seconds if form.audio_seconds is None else form.audio_seconds, form.sr)
    y = np.stack([y]+[np.zeros_like(y)]*(av.AudioLayout(form.layout).nb_channels-1))
    packets, size = [], stream.codec_context.frame_size or 1024
    for i in range(0, y.shape[1], size):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(y[:, i:i+size]), 'fltp', form.layout)
        frame.sample_rate = form.sr
        frame.time_base = Fraction(1, form.sr)
        frame.pts = i+round((form.offset+form.delay)*form.sr)
        packets += stream.encode(frame)
    return packets+stream.encode()

def write_media(path, form):
    "Write a file with numbered frames and a tone"
    with av.open(str(path), 'w', format=form.format, options=form.container_options) as container:
        video = add_video(container, form) if form.codec else None
        n_audio = form.n_audio if form.audio else 0
        audio = [container.add_stream(form.audio, rate=form.sr, layout=form.layout) for _ in range(n_audio)]
        packets = encode_video(video, form) if video else []
        for i,stream in enumerate(audio): packets += encode_audio(stream, form, 440*(i+1))
        for packet in sorted(packets, key=lambda p: float(p.dts*p.time_base)): container.mux(packet)
    return path

def make(path, **fields): return write_media(path, Form(**fields))

# Forms

B_FRAMES = {'g': '25', 'bf': '3'}
SHORT_GOP = {'g': '10'}
OPEN_GOP = {'g': '12', 'x264-params': 'open-gop=1:bframes=3:b-adapt=0:scenecut=0'}
HEVC = {'x265-params': 'keyint=12:bframes=3:open-gop=1:log-level=none'}
VP9 = {'g': '12', 'deadline': 'realtime', 'cpu-used': '8'}
MPEG2 = dict(codec='mpeg2video', options={'g': '12', 'bf': '2'}, audio='mp2', sr=48000)
MPEG4 = MPEG2|dict(codec='mpeg4')
INTERVALS = np.random.default_rng(0).choice([.02, .04, .1, .3], 50)
VARIABLE = dict(times=tuple(INTERVALS.cumsum()), options=SHORT_GOP, seconds=6)
FRAGMENTS = {'movflags': 'frag_keyframe+empty_moov'}
WIDE_PIXELS = Fraction(4, 3)

FORMS = dict(
    constant=Form(options={'g': '25', 'bf': '0'}),
    b_frames=Form(options=B_FRAMES),
    open_gop=Form(options=OPEN_GOP),
    one_gop=Form(options={'g': '250'}, fps=30),
    variable=Form(**VARIABLE),
    variable_mkv=Form('mkv', **VARIABLE),
    rotated_90=Form(rotation=90, options=SHORT_GOP),
    rotated_180=Form(rotation=180, options=SHORT_GOP),
    rotated_270=Form(rotation=-90, options=SHORT_GOP),
    odd=Form(size=(61, 151), pix_fmt='yuv444p', options=SHORT_GOP),
    anamorphic=Form(pixel_aspect=WIDE_PIXELS, options=SHORT_GOP),
    turned_anamorphic=Form(pixel_aspect=WIDE_PIXELS, rotation=90, options=SHORT_GOP),
    late_audio=Form(delay=.7, options=SHORT_GOP),
    late_video=Form(times=tuple(np.arange(40)/25+1.3), options=SHORT_GOP),
    offset=Form(offset=5., options=B_FRAMES),
    offset_mkv=Form('mkv', offset=5., options=B_FRAMES),
    negative=Form(offset=-.5, options=B_FRAMES),
    fragments=Form(options=B_FRAMES, container_options=FRAGMENTS),
    transport=Form('ts', offset=10., options=OPEN_GOP),
    transport_mpeg2=Form('ts', **MPEG2),
    program=Form('mpg', **MPEG2),
    avi=Form('avi', **MPEG4),
    flash=Form('flv', options=B_FRAMES),
    hevc=Form(codec='libx265', options=HEVC),
    webm=Form('webm', codec='libvpx-vp9', options=VP9, audio='libopus', sr=48000))

AUDIO_FORMS = dict(
    aac=Form(options=SHORT_GOP),
    late=Form(delay=.7, options=SHORT_GOP),
    pcm=Form('mov', audio='pcm_s16le', options=SHORT_GOP),
    wav=Form('wav', codec='', audio='pcm_s16le'),
    mp3=Form('mp3', codec='', audio='libmp3lame'),
    flac=Form('flac', codec='', audio='flac'),
    opus=Form('ogg', codec='', audio='libopus', sr=48000),
    avi=Form('avi', **MPEG4))

# Files that are refused

def write_texts(folder):
    "Playlists and text under the names of videos"
    playlist = f'#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{folder}/good.mp4\n#EXT-X-ENDLIST\n'
    (folder/'song.m3u8').write_text(playlist)
    (folder/'list.mp4').write_text(f'ffconcat version 1.0\nfile {folder}/good.mp4\n')
    (folder/'text.mp4').write_text('Not a video.\n'*500)

def write_broken(folder, good):
    "Files without content, without an index, or with random content"
    (folder/'empty.mp4').touch()
    (folder/'moov.mp4').write_bytes(good[:len(good)//2])
    (folder/'noise.mp4').write_bytes(np.random.default_rng(0).bytes(20000))
    (folder/'zeros.mp4').write_bytes(bytes(20000))
    (folder/'ftyp.mp4').write_bytes(good[:32])

def write_others(folder):
    "An image, and paths that are not files"
    Image.new('RGB', (64, 64)).save(folder/'image.mp4', format='png')
    (folder/'folder.mp4').mkdir()
    os.mkfifo(folder/'pipe.mp4')
    (folder/'loop.mp4').symlink_to(folder/'loop.mp4')
    (folder/'gone.mp4').symlink_to(folder/'nothing')

def write_raw_stream(path):
    "H.264 without a container, and so without times"
    with av.open(str(path), 'w', format='h264') as container:
        stream = add_video(container, Form())
        for packet in encode_video(stream, Form(seconds=.2)): container.mux(packet)

def bad_files(folder):
    "Paths that `probe`, `read_frames` and `read_audio` refuse"
    good = make(folder/'good.mp4').read_bytes()
    write_texts(folder)
    write_broken(folder, good)
    write_others(folder)
    write_raw_stream(folder/'raw.h264')
    return [o for o in sorted(folder.iterdir()) if o.name!='good.mp4'] + [folder/'missing.mp4']

# Transport streams with other time stamps

def stamp_of(data, at):
    "The time stamp in five bytes of a transport stream, ticks of 1/90000 s"
    high = data[at]>>1 & 7
    middle, low = data[at+1:at+3], data[at+3:at+5]
    return high<<30 | (int.from_bytes(middle)>>1)<<15 | int.from_bytes(low)>>1

def write_stamp(data, at, ticks):
    "Write a time stamp into five bytes of a transport stream"
    ticks %= 1<<33
    data[at] = data[at]&0xf1 | (ticks>>30)<<1
    data[at+1:at+3] = ((ticks>>15 & 0x7fff)<<1 | 1).to_bytes(2)
    data[at+3:at+5] = ((ticks & 0x7fff)<<1 | 1).to_bytes(2)

def change_stamps(path, change):
    "Replace each time stamp by `change(stream, seconds)`; stream 256 is the video, 257 the audio"
    data = bytearray(path.read_bytes())
    for packet in range(0, len(data), 188):
        pid, at = int.from_bytes(data[packet+1:packet+3]) & 0x1fff, packet+4
        if data[packet+3]&0x20: at += 1+data[at] # adaptation field
        if not data[packet+1]&0x40 or data[at:at+3]!=b'\0\0\1': continue
        for i in range({0: 0, 2: 1, 3: 2}[data[at+7]>>6]):
            seconds = stamp_of(data, at+9+5*i)/90000
            write_stamp(data, at+9+5*i, round(change(pid, seconds)*90000))
    path.write_bytes(data)
    return path

def join_files(dest, *parts):
    "Append files to each other"
    dest.write_bytes(b''.join(o.read_bytes() for o in parts))
    return dest
