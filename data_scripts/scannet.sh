#!/usr/bin/env bash
# The whole of ScanNet, from the official download to everything that the point-cloud systems read, on one machine.
#
#   data_scripts/scannet.sh DATA [OUT]
#
# DATA holds scans/, the label table and, for the image features, .sens files or exported frames. What is done is not done again: run it
# again after an interruption, or after adding scans. Set these to change what is made:
#   WORKERS   processes (default: all processors)
#   FRAMES    folder of exported frames (default: DATA, the .sens files)
#   EVERY     take each N-th frame for ENet (default 1 for exported frames, 20 for .sens)
#   ENET      scannetv2_enet.pth: ENet features are made if it is set
#   CLIP      folder or name of a CLIP of Hugging Face's: CLIP features are made if it is set
#   G3D       the command (default: g3d)
set -euo pipefail

if [ $# -lt 1 ]; then
  sed -n '2,15s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
data=$1
out=${2:-$data/g3d}
workers=${WORKERS:-$(getconf _NPROCESSORS_ONLN)}
frames=${FRAMES:-$data}
every=${EVERY:-$([ -n "${FRAMES:-}" ] && echo 1 || echo 20)}
g3d=${G3D:-g3d}
broken=0

# Exit code 1 means that some scans are broken and the others were made: go on, and say so at the end.
step() {
  echo "+ $*" >&2
  "$@" || { code=$?; [ "$code" -eq 1 ] || exit "$code"; broken=1; }
}

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}  # the processes share the processors already
step "$g3d" prepare scannet --data "$data" --out "$out" --workers "$workers" --published scanrefer --published refer
if [ -n "${ENET:-}" ]; then
  step "$g3d" prepare multiview --data "$data" --out "$out" --frames "$frames" --every "$every" --weights "$ENET" --workers "$workers" \
    --merge "$out/published/enet_feats_maxpool.hdf5"
fi
if [ -n "${CLIP:-}" ]; then
  step "$g3d" prepare clip --data "$data" --out "$out" --frames "$frames" --encoder "$CLIP" --published --workers 1
fi
exit "$broken"
