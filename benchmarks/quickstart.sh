#!/usr/bin/env bash
# The vendor's quickstart as a watch folder: create, upload, confirm, poll, download, for each picture that comes.
# It forks for nothing but curl (six times a picture, if one poll is enough) and jq (three times). curl itself waits and
# tries again after a 429.
#
#   quickstart.sh watch AT_ONCE    every picture that appears in $INBOX, until a file named "end" does
#   quickstart.sh one PICTURE
#
# From the environment: INBOX, OUTBOX, BASE, KEY, POLL_SECONDS, RETRY_SECONDS.
set -u
shopt -s lastpipe # `read` at the end of a pipe is in this shell, not in another

api=(curl --fail --silent --show-error --retry 1000 --retry-delay "$RETRY_SECONDS" --retry-max-time 0
  --header "Authorization: Bearer $KEY" --header "Content-Type: application/json")

protect() {
  local picture=$1 name=${1##*/} key order upload status="" link type=image/jpeg
  [[ $name == *.tif ]] && type=image/tiff
  read -r key </proc/sys/kernel/random/uuid
  "${api[@]}" --data "{\"idempotencyKey\": \"$key\", \"files\": [{\"fileName\": \"$name\"}]}" \
    "$BASE/api/v2/orders/anti-ai" | jq --raw-output '.data.orderId, .data.files[0].uploadUrl' | {
    read -r order
    read -r upload
  } || return 1
  curl --silent --show-error --upload-file "$picture" --header "Content-Type: $type" "$upload"
  read -r key </proc/sys/kernel/random/uuid
  "${api[@]}" --output /dev/null --data "{\"idempotencyKey\": \"$key\", \"orderId\": \"$order\"}" \
    "$BASE/api/v2/orders/anti-ai/confirm"
  until [[ $status == complete ]]; do
    read -rt "$POLL_SECONDS" -u "$nap"
    "${api[@]}" "$BASE/api/v2/orders/$order" | jq --raw-output .data.status | read -r status
    [[ $status == pending || $status == inProgress || $status == complete ]] || return 1
  done
  "${api[@]}" "$BASE/api/v2/orders/$order/download" | jq --raw-output ".data.downloadUrl // .data.url" | read -r link
  curl --silent --show-error --output "$OUTBOX/$name" "$link"
}

watch() {
  local at_once=$1 running=0 name watcher
  exec 3< <(exec inotifywait --quiet --monitor --event close_write --event moved_to --format %f "$INBOX")
  watcher=$!
  while read -r name <&3 && [[ $name != end ]]; do
    if ((at_once == 1)); then
      protect "$INBOX/$name"
      continue
    fi
    if ((running == at_once)); then
      wait -n
      ((running--))
    fi
    protect "$INBOX/$name" &
    ((++running))
  done
  kill "$watcher"
  wait
}

exec {nap}<> <(:) # to sleep without a fork: nothing ever comes from here
case $1 in
  watch) watch "$2" ;;
  one) protect "$2" ;;
esac
