#!/bin/bash
# Train with torchrun, on one machine or on several without a scheduler.
#
#     bash examples/torchrun.sh DATA [options of galgen train]
#
# One process for each GPU; NPROC=2 asks for two, also on a CPU. On several machines run it on each
# of them, with the same options and NNODES, MASTER_ADDR (the first machine) and its own NODE_RANK:
#
#     NNODES=2 NODE_RANK=0 MASTER_ADDR=node01 bash examples/torchrun.sh DATA     # on node01
#     NNODES=2 NODE_RANK=1 MASTER_ADDR=node01 bash examples/torchrun.sh DATA     # on the other
#
# The run folder has to be on a disk that all of them see.
set -eu

meeting=(--standalone)
if [ "${NNODES:-1}" -gt 1 ]; then
    meeting=(--nnodes "$NNODES" --node-rank "${NODE_RANK:?which of the machines, from 0}"
        --master-addr "${MASTER_ADDR:?name of the first machine}"
        --master-port "${MASTER_PORT:-29500}")
fi
exec "${PYTHON:-python}" -m torch.distributed.run "${meeting[@]}" --nproc-per-node "${NPROC:-gpu}" \
    -m galgen_cli.main train "$@"
