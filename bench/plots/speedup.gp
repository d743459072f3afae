# SPDX-License-Identifier: BSD-3-Clause
# Strong scaling: speed-up over one rank, with the ideal line.
load plots."/common.gp"
set title "Strong scaling"
set xlabel "ranks"
set ylabel "speed-up over one rank"
stats data using 1 nooutput
most = STATS_max > 2 ? STATS_max : 2
set xrange [0:most + 0.2]
set yrange [0:*]
set xtics 1, most > 16 ? int(most / 8) : 1
plot [1:most] x with lines dashtype 2 linecolor rgb "#888888" title "ideal", \
    for [i = 0:STATS_blocks - 1] data index i using 1:2 with linespoints linewidth 2 pointtype 7 title columnheader(1)
