#!/bin/sh
# Runs the compiler for cargo. The folders of a project must not show in what is built, and cargo compares all flags
# it knows of before it uses what another project has built: these it does not know of.
# The last match wins, and the build folder may lie within the project.
exec ${DENALI_RUSTC_WRAPPER:+"$DENALI_RUSTC_WRAPPER"} "$@" \
    --remap-path-prefix="$DENALI_PROJECT=/project" \
    --remap-path-prefix="$DENALI_BUILD=/project/target/denali"
