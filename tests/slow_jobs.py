"Jobs for worker processes, in a module that they import at once"
import os
import time

def sleep_or_return(path, *args):
    "The path; for one that ends in `slow`, write the process id there, and take a minute"
    if not path.endswith('slow'): return path
    with open(path, 'w') as file: file.write(str(os.getpid()))
    time.sleep(60)
