#!/bin/bash
# mrrate-bids {{ job.name }}{% if job.parts %}, in {{ job.parts }} {{ 'parts' if job.parts > 1 else 'part' }}{% endif %}; written by mrrate-bids {{ version }} for Slurm.
#
{% for what, command in hints %}
# {{ '%-12s' | format(what) }}{{ command }}
{% endfor %}
#
# What was killed or ran out of time goes on where it stopped when it is submitted again as it is.
# A job ends with the exit code of mrrate-bids: 0 all done, 2 the command cannot work, 3 something
# was set aside, which the end of its log names, 1 anything else.

#SBATCH --job-name={{ job.title | directive }}
{% for name, value in job.resources %}
#SBATCH --{{ name }}={{ value | directive }}
{% endfor %}
# Where the paths below begin, and what a job says; one that Slurm starts anew goes on in its log.
#SBATCH --chdir={{ job.folder | directive }}
#SBATCH --output={{ job.log | directive }}
#SBATCH --open-mode=append
#SBATCH --requeue

set -euo pipefail
{% if job.setup %}

# What loads modules and environments may ask for variables that are not set.
set +u
{{ job.setup }}
set -u
{% endif %}
{% if job.parts %}

part=${SLURM_ARRAY_TASK_ID:?this is for sbatch}
{% endif %}

{% if job.last %}
if [ "$part" = 0 ]; then
    # After all parts, and not one of them: {{ job.last_what }}.
    {{ job.last | lines(4) }}
else
    # The number of parts stands here once and for all: of those that are submitted again there
    # are fewer.
    {{ job.command | lines(4) }}
fi
{% else %}
{% if job.parts %}
# The number of parts stands here once and for all: of those that are submitted again there are
# fewer.
{% endif %}
{{ job.command | lines(0) }}
{% endif %}
