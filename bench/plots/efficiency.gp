# SPDX-License-Identifier: BSD-3-Clause
# Strong and weak scaling: efficiency, 100 % being the ideal.
load plots."/common.gp"
set title "Efficiency"
set xlabel "ranks"
set ylabel "efficiency, %"
stats data using 1 nooutput
most = STATS_max > 2 ? STATS_max : 2
set xrange [0.8:most + 0.2]
set yrange [0:105 < *]
set xtics 1, most > 16 ? int(most / 8) : 1
plot 100 with lines dashtype 2 linecolor rgb "#888888" title "ideal", \
    for [i = 0:STATS_blocks - 1] data index i using 1:2 with linespoints linewidth 2 pointtype 7 title columnheader(1)
