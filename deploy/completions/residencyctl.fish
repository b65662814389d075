# fish completion for residencyctl. Names come from the daemon where it answers at once; where it does
# not, nothing is offered and nothing is said.

function __residencyctl_names
    timeout 1 residencyctl --no-headers --timeout 500ms $argv 2>/dev/null | string replace -r '^\s*(\S+).*' '$1'
end

function __residencyctl_named
    timeout 1 residencyctl -o json --timeout 500ms $argv 2>/dev/null | string replace -rf '^ *"name": "(.*)",?$' '$1' | sort -u
end

# Numbers; names once one is begun.
function __residencyctl_blocks
    set -l word (commandline -ct)
    if string match -qr '^[^0-9]' -- $word
        __residencyctl_named blocks --limit 500 --name $word
    else
        __residencyctl_names blocks --limit 500
    end
end

complete -c residencyctl -f
complete -c residencyctl -l socket -r -F -d 'Operator socket of residencyd'
complete -c residencyctl -s o -l output -x -a 'table wide json' -d 'How to show it'
complete -c residencyctl -l watch -a '500ms 1s 2s 5s 10s' -d 'Repeat every so often'
complete -c residencyctl -l no-headers -d 'Leave out the heads of tables'
complete -c residencyctl -l timeout -x -a '1s 5s 30s' -d 'Longest wait for an answer'
complete -c residencyctl -l color -x -a 'auto always never' -d Colour
complete -c residencyctl -s h -l help -d 'Show help'
complete -c residencyctl -l version -d 'Show the version'

complete -c residencyctl -n __fish_use_subcommand -a status -d 'Health, pools, states, links and counters'
complete -c residencyctl -n __fish_use_subcommand -a health -d 'Exits 0 if healthy, 5 if not'
complete -c residencyctl -n __fish_use_subcommand -a top -d 'The node live, sorted by what hurts'
complete -c residencyctl -n __fish_use_subcommand -a iostat -d 'What each link moves, by class'
complete -c residencyctl -n __fish_use_subcommand -a version -d 'Versions of this program and of the daemon'
complete -c residencyctl -n __fish_use_subcommand -a models -d 'Models and where their blocks are'
complete -c residencyctl -n __fish_use_subcommand -a pools -d 'Pools and their use'
complete -c residencyctl -n __fish_use_subcommand -a sessions -d 'Attached engine processes'
complete -c residencyctl -n __fish_use_subcommand -a end-session -d 'End a session'
complete -c residencyctl -n __fish_use_subcommand -a drain -d 'Let leases end, then exit the daemon'
complete -c residencyctl -n __fish_use_subcommand -a blocks -d 'List blocks'
complete -c residencyctl -n __fish_use_subcommand -a block -d 'One block and its copies'
complete -c residencyctl -n __fish_use_subcommand -a explain -d 'Every figure behind what is done with a block'
complete -c residencyctl -n __fish_use_subcommand -a pin -d 'Keep a block where it is'
complete -c residencyctl -n __fish_use_subcommand -a unpin -d 'Let the policy move it again'
complete -c residencyctl -n __fish_use_subcommand -a promote -d 'Bring a block closer to the engine'
complete -c residencyctl -n __fish_use_subcommand -a demote -d 'Let a block go to a colder state'
complete -c residencyctl -n __fish_use_subcommand -a policy -d 'Show or change the policy'

complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l model -x -a '(__residencyctl_names models; __residencyctl_named models)' -d 'Of this model'
complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l state -x -a 'S0 S1 S2 S3 S4 S5 S6' -d 'In this state'
complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l layer -x -d 'Of this layer'
complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l name -x -d 'With this text in their name'
complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l expert -x -d 'Of this expert'
complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l role -x -a 'expert attention router norm embedding dense_mlp adapter other' -d 'With this role'
complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l pool -x -a '(__residencyctl_names pools)' -d 'With a copy in this pool'
complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l tier -x -a 'HBM DRAM NVMe' -d 'With a copy in this tier'
complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l element-type -x -a 'bf16 f16 f32 quantized8 quantized_sub8 other' -d 'Made of'
complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l leased -d 'In use'
complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l pinned -d 'Pinned by an operator'
complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l lost -d 'Without copy and recipe'
complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l min-bytes -x -d 'At least so large'
complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l max-bytes -x -d 'At most so large'
complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l sort -x -a 'name bytes state layer K R leases' -d 'In this order'
complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l reverse -d 'The other way round'
complete -c residencyctl -n '__fish_seen_subcommand_from top' -s d -l delay -x -a '500ms 1s 2s 5s' -d 'Time between frames'
complete -c residencyctl -n '__fish_seen_subcommand_from top' -s n -l iterations -x -d 'End after so many frames'
complete -c residencyctl -n '__fish_seen_subcommand_from top' -l sort -x -a 'stall misses bytes name' -d 'In this order'
complete -c residencyctl -n '__fish_seen_subcommand_from iostat' -s z -l active -d 'Leave out idle links'
complete -c residencyctl -n '__fish_seen_subcommand_from blocks' -l limit -x -d 'At most so many, 0 for all'
complete -c residencyctl -n '__fish_seen_subcommand_from block explain pin unpin promote demote' -a '(__residencyctl_blocks)'
complete -c residencyctl -n '__fish_seen_subcommand_from end-session' -a '(__residencyctl_names sessions)'
complete -c residencyctl -n '__fish_seen_subcommand_from promote' -l to -x -a 'S0 S3' -d State
complete -c residencyctl -n '__fish_seen_subcommand_from demote' -l to -x -a 'S3 S4 S6' -d State
complete -c residencyctl -n '__fish_seen_subcommand_from promote demote drain' -l deadline -x -a '5s 30s 2m' -d 'Longest wait'
complete -c residencyctl -n '__fish_seen_subcommand_from drain' -l wait -d 'Return when the daemon has gone'
complete -c residencyctl -n '__fish_seen_subcommand_from iostat' -a '1 2 5 10'
complete -c residencyctl -n '__fish_seen_subcommand_from policy; and not __fish_seen_subcommand_from get set' -a 'get set'
complete -c residencyctl -n '__fish_seen_subcommand_from policy; and __fish_seen_subcommand_from get set' -a '(__residencyctl_names policy get)'
