"A trainer that takes its time, for tests that kill it"
import time

def slow_down(
    training # Module with a function `make_trainer`
):
    "Make each epoch of a trainer last half a second, so that it can be killed within one"
    import lightning as L # after mvrep, which prepares torchvision
    class Slow(L.Callback):
        def on_train_epoch_start(self, trainer, module): time.sleep(.5)
    make_trainer = training.make_trainer
    def make_slow_trainer(run):
        trainer = make_trainer(run)
        trainer.callbacks.insert(0, Slow())
        return trainer
    training.make_trainer = make_slow_trainer
