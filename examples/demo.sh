#!/usr/bin/env sh
# The main job on built-in data, start to finish: pre-train on simulated galaxies, fine-tune on
# real ones with two frozen layers, sample FITS, evaluate. At most six minutes on two cores, because
# each training stops after two and a half at the latest.
set -eu
out=${1:-demo}
if [ -e "$out" ] && [ ! -e "$out/.galgen-demo" ]; then
    echo "$out is there already and is not of an earlier demo: name another folder" >&2
    exit 2
fi
rm -rf "$out"
mkdir -p "$out"
touch "$out/.galgen-demo"
cd "$out"

galgen train sersic --bands R,G,B --images 40k --minutes 2.5 --seed 1
galgen finetune hubble --freeze 2 --images 40k --minutes 2.5 --seed 1
galgen sample -n 100 --fits --png --out galaxies
galgen evaluate -n 500

run=$(ls -d runs/00002-*)
echo
echo "picture: $out/galaxies/overview.png"
echo "report:  $out/$run/report.html"
