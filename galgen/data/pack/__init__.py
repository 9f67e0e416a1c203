"""Packs: a set of cutouts as a few large memory-mapped files with an index and a catalogue.

A pack is a folder::

    pack.json         the index (`galgen.data.pack.index.PackIndex`), written last
    shard-00000.npy   (n, C, H, W), C order, little-endian float32 or uint8, about 256 MB each
    shard-00001.npy   ...
    catalogue.fits    a row for each galaxy, in the order of the pack (`galgen.data.pack.catalogue`)
    other tables      those that lay in the folder of images, for ``FILE:COLUMN``

Galaxies are sorted by name over all shards, as `galgen.data.sets.CutoutSet.names` are.
"""
