#!/bin/sh
# What "/" answers.
export PATH=/bin
printf 'Content-Type: text/plain\r\n\r\n'
echo "hostname: $(hostname)"
echo "uptime: $(cut -d ' ' -f 1 /proc/uptime)"
if [ -s /run/burn ] && kill -0 "$(cat /run/burn)" 2>/dev/null; then
	echo "burning: yes"
else
	echo "burning: no"
fi
ip -o address show scope global | while read -r _ nic _ address _; do
	echo "address: $nic ${address%/*}"
done
