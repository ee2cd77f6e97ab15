"Package metadata comes from settings.ini, where nbdev 2 keeps it."
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

here = Path(__file__).parent
readme = here/'README.md'
settings = ConfigParser(delimiters=['='])
settings.read(here/'settings.ini', encoding='utf-8')
cfg = settings['DEFAULT']
names = ('train', 'pretrain', 'text', 'clip', 'onnx', 'shots', 'download', 'ray', 'baselines', 'explore', 'app', 'dev')
extras = {o: cfg[f'{o}_requirements'].split() for o in names}
setup(
    name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], keywords=cfg['keywords'],
    author=cfg['author'], author_email=cfg['author_email'], url=cfg['git_url'], license='Apache-2.0',
    packages=find_packages(include=['mvrep', 'mvrep.*']),
    package_data={'mvrep': ['static/*', 'weights/*']},
    python_requires='>=' + cfg['min_python'],
    install_requires=cfg['requirements'].split(), extras_require=extras,
    entry_points={'console_scripts': ['mvrep=mvrep.cli.main:main'], 'nbdev': ['mvrep=mvrep._modidx:d']},
    long_description=readme.read_text(encoding='utf-8') if readme.exists() else cfg['description'],
    long_description_content_type='text/markdown')
