# SPDX-License-Identifier: BSD-3-Clause
# Strong scaling at one batch: where the time of a step goes, on rank 0.
load plots."/common.gp"
set title "Time of a step by phase, batch ".substr(name, strlen("phases-") + 1, strlen(name))
set ylabel "milliseconds"
set style data histogram
set style histogram rowstacked
set style fill solid 0.9 border rgb "white"
set boxwidth 0.7
set xtics rotate by -20
set bmargin 10
set yrange [0:*]
set key autotitle columnheader invert
columns = int(system("awk 'NR == 1 { print NF }' '".data."'"))
plot for [i = 2:columns] data using i:xtic(1)
