"""Trainings of the networks that blindsr's plugins ship. Neither blindsr nor the plugins import this package.

One command trains each: ``python -m blindsr_training NETWORK --config FILE --hr PHOTOS --out FOLDER``. Its settings are in a YAML
file (`settings`; ``configs/`` has one for each bundled network). `harness` has the loop, the same for all; `files` the state and
the network on disk; `photographs` the images and which are held out; `optimizer` Muon, AdamW and the schedule; `kernel_families`
random SR kernels. The packages `kernelnet`, `srmd` and `unfolding` have what differs: data, loss, scores.
"""
