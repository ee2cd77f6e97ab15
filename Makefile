# make demo    from nothing to recommendations on a generated corpus, with a report to open
# make test    everything that .ci/run checks
# make docs    the site, in docs/site, and README.md
# make outputs runs all notebooks and saves their outputs (NB=03_corpus: that one)
# make clean   removes what the others made

SHELL := bash
py := .venv/bin/python
.PHONY: help demo test docs outputs clean

help:
	@sed -n 's/^# //p' Makefile

.venv/.stamp: settings.ini setup.py constraints.txt requirements.lock scripts/setup.sh
	@bash scripts/setup.sh

demo: .venv/.stamp
	@.venv/bin/mvrep demo

test: .venv/.stamp
	@bash scripts/apt.sh
	@OMP_NUM_THREADS=1 $(py) -m pytest -n 2 --dist loadgroup --durations 12 -rs tests

docs: .venv/.stamp
	@$(py) docs/build.py --readme
	@$(py) docs/build.py

outputs: .venv/.stamp
	@$(py) scripts/outputs.py $(NB)

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache docs/site demo
