"`python -m mvrep` is the command `mvrep`."
from .cli.main import main

if __name__=='__main__': main()
