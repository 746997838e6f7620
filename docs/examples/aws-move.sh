#!/bin/sh
# Moves the addresses of an instance to this director's network interface, in AWS.
#
# usage: aws-move.sh TABLE INTERFACE [ALLOCATION]
#
#   TABLE       a DynamoDB table whose key is the string `unit`
#   INTERFACE   this director's network interface: eni-...
#   ALLOCATION  an Elastic IP to put on the first address: eipalloc-...
#
# Leasehold runs it as notify_master and gives LEASEHOLD_INSTANCE, LEASEHOLD_EPOCH and
# LEASEHOLD_VIPS. The table holds the highest epoch so far and the interface that it names; the
# table, and not whoever asks last, decides where the addresses go.
#
# exit: 0 they are here; 3 a later epoch has them; anything else: failed, run it again

set -eu

table=$1
interface=$2
allocation=${3:-}
# Another cluster's epochs are other numbers: a cluster made anew begins with a row of its own.
unit=$LEASEHOLD_CLUSTER/$LEASEHOLD_INSTANCE
epoch=$LEASEHOLD_EPOCH
key="{\"unit\":{\"S\":\"$unit\"}}"

say() {
    echo "aws-move: $unit, epoch $epoch: $*" >&2
}

# One step that AWS does or refuses as a whole: a later epoch never gives way to an earlier one.
claim() {
    aws dynamodb update-item --table-name "$table" --key "$key" \
        --update-expression 'SET epoch = :e, interface = :i' \
        --condition-expression 'attribute_not_exists(epoch) OR epoch < :e OR (epoch = :e AND interface = :i)' \
        --expression-attribute-values "{\":e\":{\"N\":\"$epoch\"},\":i\":{\"S\":\"$interface\"}}" 2>&1
}

# Where the table wants the addresses now.
wanted() {
    aws dynamodb get-item --table-name "$table" --key "$key" --consistent-read \
        --query Item.interface.S --output text
}

# A second call with the same words changes nothing.
move_to() {
    first=
    for vip in $LEASEHOLD_VIPS; do
        case $vip in
            *:*)
                say "$vip is left where it is: this script moves IPv4 only"
                continue
                ;;
        esac
        aws ec2 assign-private-ip-addresses --network-interface-id "$1" \
            --private-ip-addresses "$vip" --allow-reassignment >/dev/null
        : "${first:=$vip}"
    done
    if [ -n "$allocation" ] && [ -n "$first" ]; then
        aws ec2 associate-address --allocation-id "$allocation" --network-interface-id "$1" \
            --private-ip-address "$first" --allow-reassociation >/dev/null
    fi
}

if ! answer=$(claim); then
    case $answer in
        *ConditionalCheckFailed*)
            say "a later epoch has the addresses: nothing is done"
            exit 3
            ;;
    esac
    say "the table can't be written: $answer"
    exit 1
fi

# The table may change while the addresses move, and EC2 takes no condition. Whoever finds that it
# was late carries out what the table says by then, so that the last word is the table's.
to=$interface
while :; do
    move_to "$to"
    now=$(wanted)
    [ "$now" != "$to" ] || break
    say "a later epoch came meanwhile: putting the addresses on $now"
    to=$now
done
[ "$to" = "$interface" ] || exit 3
say "the addresses are on $interface"
