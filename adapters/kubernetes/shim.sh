# What stands over a command in a pod (docs/durable-exec.md). It comes over the standard input of an exec and needs a POSIX
# shell with cat, dd, find, grep, ln, mkdir, mv, rm, sleep, wc; busybox has them all. Lines that begin with # are not sent.
#
# Set by the order in front of it:  R run folder   I command   M mode   N nonce of this connection   P place: mark.start.boot
#   O E bytes of the streams that are known already   G grace (s)   T time-out (s)   X cap (blocks)   V valid until (s of uptime)
#   F commands to forget   A age of marks to drop (min)   L what LC_ALL was
#   given_files() writes script and stdin; given_env() and given_run() become the command, in a process of its own
umask 077
D=$R/$I S=$R/$I.start
exec 7<&0 </dev/null

# A record for the server, between the bytes of the command.
say() { printf '\036RDEV %s %s\n' "$N" "$*"; }

# Of process $1: PID ST (its start) Z (its state) PP (its parent) SI (its session); `self` is this very shell, without a fork.
look() {
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  PID=${stat%% *}
  set -- ${stat##*) }
  Z=$1 PP=$2 SI=$4 ST=${20}
}
lives() { [ "$1" ] && look "$1" && [ "$ST" = "$2" ] && [ "$Z" != Z ]; }
now() { read -r UP stat </proc/uptime; }

# Where we are: changes when the run folder is made anew, the container is restarted or the machine boots.
find_here() {
  mark= boot=
  { read -r mark <"$R/mark"; } 2>/dev/null
  { read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
  look 1
  here=$mark.$ST.$boot
}

# The one decision whether a command runs: who makes this file.
claim() {
  set -C
  { true >"$S"; } 2>/dev/null
  won=$?
  set +C
  return $won
}
load() { word= w= wt= c= ct= p= by=; { read -r word w wt c ct p by <"$S"; } 2>/dev/null; }
read_end() { end=; { read -r end <"$D/code"; } 2>/dev/null; [ "$end" ]; }

# STATE: absent, starting, cancelled, running, `exited CODE KIND WHY UPTIME SURVIVORS`, or `lost REASON`
find_state() {
  load
  if read_end; then STATE="exited $end"
  elif [ ! -e "$S" ]; then STATE=absent
  elif [ ! "$word" ]; then STATE=starting
  elif [ "$word" = cancelled ]; then STATE=cancelled
  elif [ "$word" = ended ]; then STATE='lost its end was recorded before'
  elif [ "$word" = lost ]; then STATE='lost what was to stand over the command died while it was starting it'
  elif [ "$p" != "$here" ]; then STATE='lost the container was restarted'
  elif [ ! -d "$D" ]; then STATE='lost the run folder of the command was deleted'
  elif lives "$w" "$wt"; then STATE=running
  elif read_end; then STATE="exited $end"
  else STATE='lost what stood over the command was killed'; fi
}
# The record follows the file at once. After two seconds whoever was to write it has died, or is told that he is too late.
find_settled_state() {
  find_state
  i=0
  while [ "$STATE" = starting ] && [ $i -lt 100 ]; do
    nap 0.02
    i=$((i + 1))
    find_state
  done
  [ "$STATE" = starting ] || return 0
  echo lost >"$S.$N" && mv "$S.$N" "$S"
  find_state
}

# ---- the command and what stands over it: child <- waiter -> two pumps

# Becomes the command. What is decided is written down before anything runs.
child() {
  look self
  claim || exit 0
  { printf '%64s\n' '' >"$D/code.tmp" && printf 'run %s %s %s %s %s %s\n' "$w" "$wt" "$PID" "$ST" "$P" "$N" >>"$S" && given_files; } 2>/dev/null || {
    rm -f "$S"
    echo "fail cannot write to $R" >&5
    exit 125
  }
  own=$w
  load
  [ "$word $w" = "run $own" ] || exit 0
  trap '' PIPE
  echo started >&5
  trap - PIPE
  exec 4>&- 5>&- 7<&- 8>&- 9>&-
  [ ! -e "$D/stdin" ] || { exec <"$D/stdin" && rm -f "$D/stdin"; }
  set -- "$(command -v setsid)" "$D" # the environment of the command may have other ideas of PATH and D
  if [ "$L" ]; then LC_ALL=$L; else unset LC_ALL; fi
  given_env
  given_run "$@"
}

# A full disk or the cap ends the file, never the command. Pumps of a start that came second end at once: they say whose they are.
pump() { # FD NAME
  ulimit -c 0
  [ "$X" = 0 ] || ulimit -f "$X"
  cat >&"$1"
  how=$?
  if [ $how != 0 ]; then
    [ $how = 153 ] || true >"$D/short"
    wc -c >"$D/$2.more"
  fi
  true >"$D/$2.done.$N"
}

# A shell tells a death by signal from an exit by what it prints; of two signals it prints nothing.
waiter() {
  look self
  w=$PID wt=$ST
  exec 2>"$D/said"
  (child) 2>&4
  code=$?
  own=$w
  exec >&- 4>&- 5>&-
  load
  [ "$word $w" = "run $own" ] || exit 0
  kind=exit why=- survivors=0
  [ $code -gt 128 ] && [ -s "$D/said" ] && kind=signal
  case $code in 130 | 141) kind=maybe ;; esac
  if { read -r why <"$D/cancel"; } 2>/dev/null; then
    end_tree
  else
    why=-
  fi
  now
  printf '%s %s %s %s %s ' "$code" $kind "$why" "$UP" $survivors 1<>"$D/code.tmp" && mv "$D/code.tmp" "$D/code"
  [ ! "$guard" ] || kill "$guard" 2>/dev/null
  # Not here: who waits for this shell holds a pipe open, and the pumps could not end.
  { exec 8>&- 9>&-; sleep 2; fix_sizes; } &
}

# Ends the command when its time is up, also while no server lives.
watch_time() {
  sleep "$T" &
  sleeper=$!
  trap 'kill "$sleeper"; exit' TERM
  wait "$sleeper"
  trap - TERM
  [ ! -e "$D/code" ] || exit
  wish timeout
  end_tree
}

# Not in the background: a shell makes what it starts there deaf to INT and QUIT, and the command could not undo it.
runner() {
  exec 5>&1 7<&- >/dev/null 2>/dev/null 8>>"$D/out" 9>>"$D/err" || exit
  guard=
  if [ "$T" != 0 ]; then
    { exec 5>&- 8>&- 9>&-; watch_time; } &
    guard=$!
  fi
  # `exec` closes for good; of a redirection of a function or group the shell keeps a copy, which would hold the pipe open.
  { { exec 4>&6 6>&-; waiter; } | { exec 5>&- 6>&-; pump 8 out; }; } 6>&1 | { exec 5>&-; pump 9 err; }
}

# ---- what the server sees of it

# Sleeps $1 s; ends when the client has gone (the end of standard input).
nap() {
  if [ "$timed" ]; then
    read -r -t "$1" stat <&7 && return
    read -r -t 0 stat <&7 || { ends=0; return; }
    ends=$((ends + 1))
    [ $ends -lt 3 ] || leave
  else
    sleep "$1" || leave
  fi
}
leave() {
  [ ! "$watcher" ] || { kill "$watcher"; wait "$watcher"; } 2>/dev/null
  exit 0
}
# A write to a client that has gone blocks for ever in a pod: what hangs there is killed.
watch_client() {
  while read -r stat; do :; done
  look self
  own=$PID
  while lives "$streamer" "$streamer_start"; do
    for one in /proc/[0-9]*; do
      look "${one#/proc/}" && [ "$PP" = "$streamer" ] && [ "$PID" != "$own" ] && kill -KILL "$PID"
    done
    sleep 0.05
  done
}

# Copies what a descriptor has, a megabyte at most, and finds where it stands then.
copy() { # FD TO
  dd bs=65536 count=16 <&"$1" >&"$2" 2>/dev/null || leave
  read -r stat at <"/proc/self/fdinfo/$1"
}

# How long the streams are is settled once, for all that come later.
fix_sizes() {
  [ ! -e "$D/sizes" ] || return 0
  a=$(wc -c <"$D/out") b=$(wc -c <"$D/err") more= less= kept=whole
  { read -r more <"$D/out.more"; } 2>/dev/null
  { read -r less <"$D/err.more"; } 2>/dev/null
  [ ! -e "$D/short" ] || kept=short
  echo $((a)) $((a + ${more:-0})) $((b)) $((b + ${less:-0})) $kept >"$D/sizes.$N.$1" 2>/dev/null
  ln "$D/sizes.$N.$1" "$D/sizes" 2>/dev/null
  rm -f "$D/sizes.$N.$1"
}

follow() { # HOW: what the runner has said, or nothing
  timed= ends=0 watcher=
  (read -r -t 0 stat </dev/null) 2>/dev/null
  [ $? -gt 1 ] || timed=1
  look self
  streamer=$PID streamer_start=$ST
  watch_client <&7 >/dev/null 2>&1 &
  watcher=$!
  said=
  [ "$M" != start ] || read -r said
  case $said in fail*) say "$said"; leave ;; esac
  find_settled_state
  say "${said:+new }$STATE"
  case $STATE in absent | cancelled) leave ;; esac
  [ -r "$D/out" ] && [ -r "$D/err" ] || { say "end $STATE ; $O $O $E $E short"; leave; }
  exec 3<"$D/out" 4<"$D/err"
  [ "$O" = 0 ] || dd bs=1 skip="$O" count=0 <&3 2>/dev/null
  [ "$E" = 0 ] || dd bs=1 skip="$E" count=0 <&4 2>/dev/null
  i=0 quiet=0
  while :; do
    over= closed= moved= at=
    [ -e "$D/code" ] && over=1
    [ -e "$D/out.done.$by" ] && [ -e "$D/err.done.$by" ] && closed=1
    { read -r stat at <"/proc/$w/fdinfo/8"; } 2>/dev/null
    if [ "$at" != "$O" ] || [ $over ]; then
      copy 3 1
      [ "$at" = "$O" ] || O=$at moved=1
    fi
    at=
    { read -r stat at <"/proc/$w/fdinfo/9"; } 2>/dev/null
    if [ "$at" != "$E" ] || [ $over ]; then
      copy 4 2
      [ "$at" = "$E" ] || E=$at moved=1
    fi
    if [ $moved ]; then
      i=0 quiet=0
      continue
    fi
    if [ $over ]; then
      # All is there when both pipes are closed; a child that was left behind may hold one of them.
      [ ! $closed ] && [ $quiet -lt 100 ] || break
      quiet=$((quiet + 1))
      [ $quiet -lt 20 ] && nap 0.002 || nap 0.012
      continue
    fi
    i=$((i + 1))
    if [ $((i % 100)) = 0 ]; then
      find_state
      case $STATE in lost*) break ;; esac
    fi
    if [ ! $timed ]; then
      [ $i -lt 100 ] && nap 0.01 || nap 0.05
    elif [ $i -lt 25 ]; then nap 0.002
    elif [ $i -lt 100 ]; then nap 0.005
    elif [ $i -lt 300 ]; then nap 0.01
    elif [ $i -lt 1000 ]; then nap 0.02
    else nap 0.05; fi
  done
  fix_sizes follow
  find_state
  sizes=
  { read -r sizes <"$D/sizes"; } 2>/dev/null
  say "end $STATE ; ${sizes:-$O $O $E $E short}"
  leave
}

# ---- ending a command

# The first wish counts.
wish() { # WHY
  echo "$1" >"$D/cancel.$N.$1" && ln "$D/cancel.$N.$1" "$D/cancel" 2>/dev/null
  rm -f "$D/cancel.$N.$1"
}

# ALIVE: the processes of the command: those with its id in their environment, its session, and their children.
scan() {
  ALIVE=" "
  for one in $(grep -lsF "RDEV_COMMAND_ID=$I" /proc/[0-9]*/environ 2>/dev/null); do
    one=${one#/proc/}
    look "${one%/environ}" && [ "$Z" != Z ] && ALIVE="$ALIVE$PID "
  done
  main=
  [ "$p" = "$here" ] && lives "$c" "$ct" && main=$c
  for again in 1 2 3; do
    for one in /proc/[0-9]*; do
      look "${one#/proc/}" && [ "$Z" != Z ] || continue
      case $ALIVE in *" $PID "*) continue ;; esac
      if [ "$main" ] && { [ "$PID" = "$main" ] || [ "$SI" = "$main" ]; }; then
        ALIVE="$ALIVE$PID "
      else
        case $ALIVE in *" $PP "*) ALIVE="$ALIVE$PID " ;; esac
      fi
    done
  done
  [ "$ALIVE" != " " ]
}
# TERM, after the grace STOP and KILL, twenty times at most; `survivors` = how many are left then.
end_tree() {
  load
  survivors=0 i=0 rounds=0
  scan || return 0
  kill -TERM $ALIVE 2>/dev/null
  kill -CONT $ALIVE 2>/dev/null
  while scan; do
    if [ $i -ge $((G * 20)) ]; then
      kill -STOP $ALIVE 2>/dev/null
      scan
      kill -KILL $ALIVE 2>/dev/null
      rounds=$((rounds + 1))
      [ $rounds -lt 20 ] || break
    fi
    i=$((i + 1))
    sleep 0.05
  done
  for one in $ALIVE; do survivors=$((survivors + 1)); done
}

timed= watcher=
find_here
case $M in
greet)
  mkdir -p "$R" 2>/dev/null && [ -w "$R" ] || { say "fail cannot write to $R"; exit 0; }
  [ -e "$R/mark" ] || { echo "$N" >"$R/mark.$N" && ln "$R/mark.$N" "$R/mark"; rm -f "$R/mark.$N"; } 2>/dev/null
  find_here
  now
  kept=
  for one in "$R"/*.start; do
    [ -e "$one" ] || continue
    word=
    read -r word stat <"$one"
    one=${one%.start}
    [ "$word" = ended ] && [ ! -d "$one" ] || kept="$kept ${one##*/}"
  done
  say "here $here $UP$kept"
  ;;
start)
  now
  if [ "$here" != "$P" ]; then say "elsewhere $here"
  elif [ -e "$S" ]; then M=attach; follow
  elif [ "${UP%.*}" -gt "$V" ]; then say late
  elif mkdir -p "$D" 2>/dev/null; then runner | follow
  else say "fail cannot write to $R"; fi
  ;;
attach) follow ;;
status) find_settled_state; say "$STATE" ;;
cancel)
  if [ "$here" != "$P" ]; then say "elsewhere $here"; exit 0; fi
  if claim; then
    echo cancelled >>"$S" 2>/dev/null || { rm -f "$S"; say "fail cannot write to $R"; exit 0; }
    say cancelled
    exit 0
  fi
  find_settled_state
  [ "$STATE" = running ] || { say "$STATE"; exit 0; }
  wish cancel || { say "fail cannot write to $R"; exit 0; }
  trap '' PIPE
  say ending
  end_tree
  ;;
leftovers)
  load
  end_tree
  say "survivors $survivors"
  ;;
forget)
  for I in $F; do
    D=$R/$I S=$R/$I.start
    find_state
    [ "$STATE" != running ] || continue
    echo ended >"$S.$N" && mv "$S.$N" "$S" && rm -rf "$D"
  done
  old="-mmin +$A"
  [ "$A" -ge 0 ] || old=
  find "$R" -name '*.start' $old -exec grep -lx ended {} + 2>/dev/null | while read -r one; do rm -f "$one"; done
  say forgotten
  ;;
esac
exit 0
