/* SPDX-License-Identifier: BSD-3-Clause */
/* Cores by hwloc, and the division of a node's cores among its ranks. */
#include "dtrain/topology.h"

#include <assert.h>
#include <errno.h>
#include <hwloc.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dtrain/hash.h"

#include "dtrain/linked.h"

/* GCC's OpenMP library pins the main thread when it is loaded, if these variables say so: to the first of its
 * places, which is not what the launcher gave. The binding is taken before any library's start, and given
 * back after; not later, because an MPI library may bind the process when it starts. */
static struct {
    unsigned long words[128];
    long bytes;
} binding_at_start;

__attribute__((no_sanitize("address", "undefined", "thread"))) static void note_binding(void) {
    binding_at_start.bytes =
        syscall(SYS_sched_getaffinity, 0, sizeof binding_at_start.words, binding_at_start.words);
}
#ifndef DT_NO_PREINIT
__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) = note_binding;
#endif

__attribute__((constructor)) static void restore_binding(void) {
    if (binding_at_start.bytes > 0 &&
        (getenv("OMP_PROC_BIND") || getenv("OMP_PLACES") || getenv("GOMP_CPU_AFFINITY")))
        (void)syscall(SYS_sched_setaffinity, 0, binding_at_start.bytes, binding_at_start.words);
}

static bool has_core(const dt_cores *cores, int core) {
    return cores->mask[core / 64] >> (core % 64) & 1;
}

static void add_core(dt_cores *cores, int core) {
    cores->mask[core / 64] |= (uint64_t)1 << (core % 64);
}

static int count_cores(const uint64_t *mask) {
    int count = 0;
    for (int word = 0; word < DT_CORE_WORDS; word++)
        count += __builtin_popcountll(mask[word]);
    return count;
}

static bool intersects(const uint64_t *a, const uint64_t *b) {
    for (int word = 0; word < DT_CORE_WORDS; word++)
        if (a[word] & b[word])
            return true;
    return false;
}

static void unite(uint64_t *mask, const uint64_t *more) {
    for (int word = 0; word < DT_CORE_WORDS; word++)
        mask[word] |= more[word];
}

static bool read_binding(hwloc_topology_t topology, hwloc_bitmap_t binding) {
    if (hwloc_get_cpubind(topology, binding, HWLOC_CPUBIND_PROCESS) == 0 && !hwloc_bitmap_iszero(binding))
        return true;
    cpu_set_t processors;
    if (sched_getaffinity(0, sizeof processors, &processors) != 0)
        return false;
    hwloc_bitmap_zero(binding);
    for (unsigned i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &processors))
            hwloc_bitmap_set(binding, i);
    return true;
}

/* Marks the cores that have an allowed processor in the binding. */
static void mark_cores(hwloc_topology_t topology, hwloc_const_bitmap_t binding, dt_cores *cores) {
    hwloc_const_bitmap_t allowed = hwloc_topology_get_allowed_cpuset(topology);
    int seen = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
    hwloc_obj_type_t type = seen > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
    for (int i = 0; i < DT_CORES; i++) {
        hwloc_obj_t object = hwloc_get_obj_by_type(topology, type, (unsigned)i);
        if (!object)
            break;
        if (!hwloc_bitmap_intersects(object->cpuset, allowed))
            continue;
        cores->machine++;
        hwloc_bitmap_t usable = hwloc_bitmap_dup(object->cpuset);
        if (!usable)
            break;
        hwloc_bitmap_and(usable, usable, allowed);
        if (hwloc_bitmap_intersects(usable, binding))
            add_core(cores, i);
        hwloc_bitmap_free(usable);
    }
    cores->count = count_cores(cores->mask);
}

static void read_model(hwloc_topology_t topology, dt_cores *cores) {
    hwloc_obj_t package = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0);
    const char *model = package ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
    if (!model)
        model = hwloc_obj_get_info_by_name(hwloc_get_root_obj(topology), "CPUModel");
    if (model)
        snprintf(cores->cpu, sizeof cores->cpu, "%s", model);
}

/* Only cores and packages are looked for. Withheld processors are kept in the numbering: otherwise each of
 * several ranks that a job confines to cores of their own would call its first core number 0. */
static bool load(hwloc_topology_t topology) {
    return hwloc_topology_set_all_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_NONE) == 0 &&
           hwloc_topology_set_type_filter(topology, HWLOC_OBJ_CORE, HWLOC_TYPE_FILTER_KEEP_ALL) == 0 &&
           hwloc_topology_set_type_filter(topology, HWLOC_OBJ_PACKAGE, HWLOC_TYPE_FILTER_KEEP_ALL) == 0 &&
           hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED) == 0 &&
           hwloc_topology_load(topology) == 0;
}

static void read_hwloc(dt_cores *cores) {
    hwloc_topology_t topology;
    if (hwloc_topology_init(&topology) != 0)
        return;
    hwloc_bitmap_t binding = hwloc_bitmap_alloc();
    if (binding && load(topology) && read_binding(topology, binding)) {
        mark_cores(topology, binding, cores);
        read_model(topology, cores);
    }
    hwloc_bitmap_free(binding);
    hwloc_topology_destroy(topology);
}

/* The way without hwloc: the kernel's affinity mask. */
static void count_processors(dt_cores *cores) {
    cpu_set_t processors;
    if (sched_getaffinity(0, sizeof processors, &processors) != 0)
        return;
    for (size_t i = 0; i < CPU_SETSIZE && i < DT_CORES; i++)
        if (CPU_ISSET(i, &processors))
            add_core(cores, (int)i);
    cores->count = cores->machine = count_cores(cores->mask);
}

/* The kernel draws it at each start of the machine, and containers see it too. */
static uint64_t read_boot(void) {
    char text[64];
    FILE *stream = fopen("/proc/sys/kernel/random/boot_id", "r");
    if (!stream)
        return 0;
    size_t length = fread(text, 1, sizeof text, stream);
    (void)fclose(stream);
    return length > 0 ? dt_hash(0, text, length) : 0;
}

dt_status dt_topology_read(dt_cores *cores) {
    *cores = (dt_cores){.cpu = "unknown processor", .quota = dt_quota_read(""), .boot = read_boot()};
    read_hwloc(cores);
    if (cores->count == 0)
        count_processors(cores);
    if (cores->count == 0)
        return dt_fail(DT_MACHINE,
                       "the cores that this process may use cannot be read (sched_getaffinity): %s",
                       strerror(errno));
    return dt_ok();
}

void dt_topology_cores_text(const dt_cores *cores, char *text, size_t size) {
    size_t used = 0;
    snprintf(text, size, "%s", cores->count == 0 ? "none" : "");
    for (int first = 0; first < DT_CORES; first++) {
        if (!has_core(cores, first))
            continue;
        int last = first;
        while (last + 1 < DT_CORES && has_core(cores, last + 1))
            last++;
        char piece[32];
        int length = first == last ? snprintf(piece, sizeof piece, "%s%d", used ? "," : "", first)
                                   : snprintf(piece, sizeof piece, "%s%d-%d", used ? "," : "", first, last);
        if (used + (size_t)length >= size)
            return;
        memcpy(text + used, piece, (size_t)length + 1);
        used += (size_t)length;
        first = last;
    }
}

/* A node and how many of its ranks may use each core. */
typedef struct node_ranks {
    const dt_cores *ranks;
    int count;
    dt_launch_facts launch;
    int users[DT_CORES];
} node_ranks;

static void count_users(node_ranks *node) {
    for (int rank = 0; rank < node->count; rank++)
        for (int core = 0; core < DT_CORES; core++)
            node->users[core] += has_core(&node->ranks[rank], core);
}

/* A rank's fair share: whole cores, and whether a fraction was rounded off. */
typedef struct share {
    int threads;
    bool has_fraction;
} share;

static share fair_share(const node_ranks *node, int rank) {
    /* Far below 1/DT_CORES, the least fraction of interest, and far above the rounding of the sum. */
    const double tolerance = 1e-6;
    double sum = 0;
    for (int core = 0; core < DT_CORES; core++)
        if (has_core(&node->ranks[rank], core))
            sum += 1.0 / node->users[core];
    int whole = (int)(sum + tolerance);
    if (whole == 0)
        return (share){1, false};
    return (share){whole, sum - whole > tolerance};
}

/* Ranks that share cores, directly or through others, and all cores of theirs. */
typedef struct core_group {
    dt_cores all;
    int ranks;
    int spare; /* cores less whole shares */
} core_group;

static bool is_member(const core_group *group, const dt_cores *cores) {
    return intersects(group->all.mask, cores->mask);
}

static core_group find_group(const node_ranks *node, int rank) {
    core_group found = {.all = {.count = 0}};
    unite(found.all.mask, node->ranks[rank].mask);
    for (int before = -1; before != found.all.count;) {
        before = found.all.count;
        for (int other = 0; other < node->count; other++)
            if (is_member(&found, &node->ranks[other]))
                unite(found.all.mask, node->ranks[other].mask);
        found.all.count = count_cores(found.all.mask);
    }
    found.spare = found.all.count;
    for (int other = 0; other < node->count; other++)
        if (is_member(&found, &node->ranks[other])) {
            found.ranks++;
            found.spare -= fair_share(node, other).threads;
        }
    return found;
}

static int fair_threads(const node_ranks *node, const core_group *group, int me) {
    share mine = fair_share(node, me);
    if (!mine.has_fraction)
        return mine.threads;
    int spare = group->spare;
    for (int rank = 0; rank < me && spare > 0; rank++)
        spare -= is_member(group, &node->ranks[rank]) && fair_share(node, rank).has_fraction;
    return mine.threads + (spare > 0);
}

int dt_topology_fair_threads(const dt_cores *ranks_of_node, int count, int me) {
    assert(me >= 0 && me < count);
    node_ranks node = {.ranks = ranks_of_node, .count = count};
    count_users(&node);
    core_group group = find_group(&node, me);
    return fair_threads(&node, &group, me);
}

/* What the quota leaves a rank when all that share it have as much; INT_MAX without a quota. */
static int quota_threads(const node_ranks *node, int me) {
    dt_quota quota = node->ranks[me].quota;
    int sharers = 0;
    for (int rank = 0; rank < node->count; rank++)
        sharers += node->ranks[rank].quota.group == quota.group;
    double threads = quota.cores / sharers;
    if (quota.cores <= 0 || threads >= DT_CORES)
        return INT_MAX;
    return (int)threads + (threads - (int)threads > 1e-6 || threads < 1);
}

static int entitled_threads(const node_ranks *node, const core_group *group, int rank) {
    int fair = fair_threads(node, group, rank), quota = quota_threads(node, rank);
    return quota < fair ? quota : fair;
}

static int wished_threads(dt_thread_wish wish, int fair) {
    if (wish.threads_option > 0)
        return wish.threads_option;
    return wish.omp_num_threads > 0 && wish.omp_num_threads < fair ? wish.omp_num_threads : fair;
}

/* What a node's ranks will do to its cores, the same seen from each of them. */
typedef struct node_survey {
    int machine;      /* cores of the node */
    int idle;         /* those that no rank may use */
    int even;         /* cores a rank if all were dealt out, at least 1 */
    bool crowded;     /* a group has more threads than cores */
    core_group crowd; /* the first such group of several ranks; crowd.ranks is 0 if there is none */
    int crowd_threads;
} node_survey;

/* Whether `rank` is the lowest of its group. */
static bool leads_group(const node_ranks *node, const core_group *group, int rank) {
    for (int lower = 0; lower < rank; lower++)
        if (is_member(group, &node->ranks[lower]))
            return false;
    return true;
}

static void survey_group(const node_ranks *node, const core_group *group, dt_thread_wish wish,
                         node_survey *survey) {
    int threads = 0;
    for (int rank = 0; rank < node->count; rank++)
        if (is_member(group, &node->ranks[rank]))
            threads += wished_threads(wish, entitled_threads(node, group, rank));
    if (threads <= group->all.count)
        return;
    survey->crowded = true;
    if (group->ranks > 1 && survey->crowd.ranks == 0) {
        survey->crowd = *group;
        survey->crowd_threads = threads;
    }
}

static node_survey survey_node(const node_ranks *node, dt_thread_wish wish) {
    node_survey survey = {.machine = 0};
    uint64_t used[DT_CORE_WORDS] = {0};
    for (int rank = 0; rank < node->count; rank++) {
        unite(used, node->ranks[rank].mask);
        if (node->ranks[rank].machine > survey.machine)
            survey.machine = node->ranks[rank].machine;
        core_group group = find_group(node, rank);
        if (leads_group(node, &group, rank))
            survey_group(node, &group, wish, &survey);
    }
    int busy = count_cores(used);
    survey.idle = survey.machine > busy ? survey.machine - busy : 0;
    survey.even = survey.machine > node->count ? survey.machine / node->count : 1;
    return survey;
}

__attribute__((format(printf, 2, 3))) static void say(dt_placement *placement, const char *format, ...) {
    size_t used = strlen(placement->warnings);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(placement->warnings + used, sizeof placement->warnings - used, format, arguments);
    va_end(arguments);
}

static void begin_line(dt_placement *placement) {
    if (placement->warnings[0] != '\0')
        say(placement, "\n");
}

/* What each launcher calls "bind no rank", and "bind each to N cores of its own" before and after the N. */
static const struct {
    const char *unbound, *before_cores, *after_cores;
} launcher_options[] = {
    [DT_LAUNCHER_OPEN_MPI] = {"mpirun --bind-to none", "mpirun --map-by slot:PE=", " --bind-to core"},
    [DT_LAUNCHER_HYDRA] = {"mpiexec -bind-to none", "mpiexec -bind-to core:", ""},
    [DT_LAUNCHER_SRUN] = {"srun --cpu-bind=none", "srun --cpus-per-task=", " --cpu-bind=cores"},
};

/* Whether the launcher was told to give every rank so many cores. Since Slurm 22.05 srun does not take
 * sbatch's number over, but leaves it in the environment. A number that the binding contradicts, with two
 * hardware threads a core, is sbatch's. */
static bool has_been_told(const node_ranks *node, int cores) {
    const dt_launch_facts *launch = &node->launch;
    bool contradicted = launch->launcher == DT_LAUNCHER_SRUN && 2 * node->ranks[0].count < launch->cores_each;
    return cores <= launch->cores_each && !contradicted;
}

/* Whether the launcher can be told to give every rank `cores` cores. Ranks that mpirun does not bind are
 * confined from outside, which mpirun cannot change; srun can, because it makes the step's own set. */
static bool can_have_cores(const node_ranks *node, const node_survey *survey, int cores) {
    const dt_launch_facts *launch = &node->launch;
    bool confined = launch->unbound && launch->launcher != DT_LAUNCHER_SRUN;
    return launch->launcher != DT_LAUNCHER_NONE && !confined && !has_been_told(node, cores) && cores > 1 &&
           cores <= survey->machine / node->count;
}

static void say_more_cores(dt_placement *placement, const node_ranks *node, const node_survey *survey,
                           int cores, const char *joint) {
    dt_launcher launcher = node->launch.launcher;
    if (can_have_cores(node, survey, cores))
        say(placement, "%s`%s%d%s`", joint, launcher_options[launcher].before_cores, cores,
            launcher_options[launcher].after_cores);
}

static bool can_bind_wider(const node_ranks *node, const node_survey *survey) {
    return (node->launch.launcher != DT_LAUNCHER_NONE && !node->launch.unbound) ||
           can_have_cores(node, survey, survey->even);
}

/* Nothing where the launcher cannot help. */
static void say_bind_wider(dt_placement *placement, const node_ranks *node, const node_survey *survey) {
    const char *joint = ": use ";
    if (node->launch.launcher != DT_LAUNCHER_NONE && !node->launch.unbound) {
        say(placement, "%s`%s`", joint, launcher_options[node->launch.launcher].unbound);
        joint = ", or ";
    }
    say_more_cores(placement, node, survey, survey->even, joint);
}

/* Where all threads of a quota's ranks would use it up before its period ends, waits must not use any of it.
 */
static bool exceeds_quota(const node_ranks *node, int me, int threads) {
    dt_quota quota = node->ranks[me].quota;
    double sum = 0;
    for (int rank = 0; rank < node->count; rank++)
        if (node->ranks[rank].quota.group == quota.group)
            sum += threads;
    return quota.cores > 0 && sum > quota.cores * (1 + 1e-6);
}

static void warn_of_quota(dt_placement *placement, const node_ranks *node, int me, dt_thread_wish wish) {
    int most = quota_threads(node, me);
    if (wish.threads_option <= most)
        return;
    begin_line(placement);
    say(placement,
        "--threads %d is more than this rank's share of the CPU quota of %.4g cores, so that the system "
        "stops "
        "them all for a part of the time: use --threads %d, or raise the quota (cpu.max of the control "
        "group)",
        wish.threads_option, node->ranks[me].quota.cores, most);
}

static void warn_of_wish(dt_placement *placement, const node_ranks *node, const node_survey *survey, int me,
                         int fair, dt_thread_wish wish) {
    int own = node->ranks[me].count;
    if (wish.threads_option > own) {
        begin_line(placement);
        say(placement,
            "--threads %d is more than the %d core%s of this rank, its threads will take turns: use "
            "--threads %d",
            wish.threads_option, own, own == 1 ? "" : "s", own);
        say_more_cores(placement, node, survey, wish.threads_option, ", or ");
    }
    if (wish.threads_option == 0 && wish.omp_num_threads > fair) {
        begin_line(placement);
        say(placement,
            "OMP_NUM_THREADS=%d is ignored, because this rank's share of the node's %d cores is %d: "
            "insist by --threads %d",
            wish.omp_num_threads, survey->machine, fair, wish.omp_num_threads);
        say_more_cores(placement, node, survey, wish.omp_num_threads, ", or ");
    }
}

/* A crowd that no binding can spread. */
static void say_fewer(dt_placement *placement, const core_group *crowd, bool spare_cores,
                      dt_thread_wish wish) {
    int cores = crowd->all.count;
    bool fewer_threads = wish.threads_option > 1, fewer_ranks = crowd->ranks > cores;
    say(placement, "%s will take turns%s", spare_cores ? "; they" : " and",
        fewer_threads || fewer_ranks ? ": use " : "");
    if (fewer_threads)
        say(placement, "--threads %d%s", crowd->ranks < cores ? cores / crowd->ranks : 1,
            fewer_ranks ? " and " : "");
    if (fewer_ranks)
        say(placement, "at most %d rank%s on these cores", cores, cores == 1 ? "" : "s");
}

static void warn_of_crowd(dt_placement *placement, const node_ranks *node, const node_survey *survey,
                          dt_thread_wish wish) {
    const core_group *crowd = &survey->crowd;
    int cores = crowd->all.count;
    char text[128];
    dt_topology_cores_text(&crowd->all, text, sizeof text);
    begin_line(placement);
    say(placement, "%d ranks of this node, with %d threads in all, share %d core%s (%s)", crowd->ranks,
        survey->crowd_threads, cores, cores == 1 ? "" : "s", text);
    if (survey->idle > 0)
        say(placement, " while no rank uses %d of the node's %d cores", survey->idle, survey->machine);
    bool bound_badly = survey->idle > 0 || (crowd->ranks <= cores && wish.threads_option <= 1);
    if (bound_badly && can_bind_wider(node, survey))
        say_bind_wider(placement, node, survey);
    else
        say_fewer(placement, crowd, survey->idle > 0, wish);
}

static void warn_of_pinning(dt_placement *placement, const node_ranks *node, const node_survey *survey) {
    begin_line(placement);
    say(placement, "this rank is bound to 1 of the node's %d cores, and no rank uses %d of them",
        survey->machine, survey->idle);
    say_bind_wider(placement, node, survey);
}

/* Ranks on the very same cores are an ordinary way to run; cores shared in part are a mistake of the binding.
 */
static bool overlap_in_part(const dt_cores *a, const dt_cores *b) {
    return intersects(a->mask, b->mask) && memcmp(a->mask, b->mask, sizeof a->mask) != 0;
}

static void warn_of_overlap(dt_placement *placement, const node_ranks *node, const node_survey *survey) {
    for (int high = 1; high < node->count; high++)
        for (int low = 0; low < high; low++) {
            const dt_cores *a = &node->ranks[low], *b = &node->ranks[high];
            if (!overlap_in_part(a, b))
                continue;
            char texts[2][128];
            dt_topology_cores_text(a, texts[0], sizeof texts[0]);
            dt_topology_cores_text(b, texts[1], sizeof texts[1]);
            begin_line(placement);
            say(placement, "ranks of this node overlap on part of their cores (%s and %s)", texts[0],
                texts[1]);
            say_bind_wider(placement, node, survey);
            return;
        }
}

dt_placement dt_topology_place(const dt_cores *ranks_of_node, int count, int me, dt_thread_wish wish,
                               dt_launch_facts launch) {
    assert(me >= 0 && me < count);
    node_ranks node = {.ranks = ranks_of_node, .count = count, .launch = launch};
    count_users(&node);
    core_group group = find_group(&node, me);
    int fair = entitled_threads(&node, &group, me);
    node_survey survey = survey_node(&node, wish);
    dt_placement placement = {.threads = wished_threads(wish, fair), .oversubscribed = survey.crowded};
    if (wish.threads_option == 0 && fair < fair_threads(&node, &group, me) && placement.threads == fair)
        placement.quota = ranks_of_node[me].quota.cores;
    placement.oversubscribed |= exceeds_quota(&node, me, placement.threads);
    int wished = wish.threads_option > 0 ? wish.threads_option : wish.omp_num_threads;
    warn_of_wish(&placement, &node, &survey, me, fair, wish);
    warn_of_quota(&placement, &node, me, wish);
    if (survey.crowd.ranks > 0)
        warn_of_crowd(&placement, &node, &survey, wish);
    else if (ranks_of_node[me].count == 1 && survey.idle > 0 && wished != 1)
        warn_of_pinning(&placement, &node, &survey);
    if (survey.crowd.ranks == 0)
        warn_of_overlap(&placement, &node, &survey);
    return placement;
}

static void write_api(unsigned version, char text[DT_LINKED_TEXT]) {
    snprintf(text, DT_LINKED_TEXT, "%u.%u.%u", version >> 16, version >> 8 & 255, version & 255);
}

/* hwloc's manual, "Frequently Asked Questions": the structures change with the first number. */
dt_linked dt_linked_hwloc(void) {
    dt_linked library = {.name = "hwloc"};
    write_api(HWLOC_API_VERSION, library.headers);
    write_api(hwloc_get_api_version(), library.loaded);
    library.fits = HWLOC_API_VERSION >> 16 == hwloc_get_api_version() >> 16;
    return library;
}
