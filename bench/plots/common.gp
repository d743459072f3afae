# SPDX-License-Identifier: BSD-3-Clause
# What all plots share. From the caller: plots (this folder), data and caption (files), name, format (svg or png), result.
if (format eq "svg") {
    set terminal svg size 900,620 noenhanced font "sans,13" background "white"
} else {
    set terminal pngcairo size 1350,930 noenhanced font "sans,14"
}
set output result
set bmargin 8
set grid ytics linecolor rgb "#dddddd"
set key outside right top
set label 1 system("cat '".caption."'") at screen 0.02, screen 0.1 font "sans,8" textcolor rgb "#555555"
colours = "1b9e77 d95f02 7570b3 e7298a 66a61e e6ab02 a6761d 377eb8 e41a1c 984ea3 4d4d4d 80b1d3"
do for [i = 1:words(colours)] { set linetype i linecolor rgb "#".word(colours, i) }
set linetype cycle words(colours)
