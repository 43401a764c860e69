"""A program that stands in for ``vcgencmd``: it prints the answers that lie in a folder of the fake board."""

ANSWERS = "var/lib/fake-board/vcgencmd"

PROGRAM = f"""\
#!/bin/sh
# Stands in for vcgencmd: prints the answers kept in {ANSWERS}, and fails in the words of the real one.
answers="${{0%/*}}/../../{ANSWERS}"
if [ -e "$answers/no-device" ]; then
    echo "Can't open device file: /dev/vcio_gencmd"
    echo "Try creating a device file with: sudo mknod /dev/vcio c 100 0"
    exit 255
fi
IFS=_
if [ -f "$answers/$*" ]; then exec cat "$answers/$*"; fi
for known in "$answers/$1" "$answers/$1"_*; do
    if [ -f "$known" ]; then echo 'error=2 error_msg="Invalid arguments"'; exit 0; fi
done
echo 'error=1 error_msg="Command not registered"'
"""
