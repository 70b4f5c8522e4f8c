# shellcheck shell=bash
# Installing what private servers need. A package must not change what runs on this machine: while they are installed
# no service may start and no cluster is made, and afterwards what they enabled for the next boot is switched off.

settings_guarded=no
policy_file=/usr/sbin/policy-rc.d
cluster_settings_folder=/etc/postgresql-common/createcluster.d
cluster_settings_file=$cluster_settings_folder/zz-tenant-sync.conf
as_root=()
enabled_before=

install_missing_packages() {
    local service packages=()
    for service; do
        if [[ $service == rabbitmq ]]; then
            find_rabbitmq >/dev/null || packages+=(rabbitmq-server)
        elif [[ -z $PG_BIN && ${packages[*]:-} != *postgresql* ]]; then
            packages+=(postgresql)
        fi
    done
    [[ ${#packages[@]} -gt 0 ]] || return 0
    may_install "${packages[@]}"
    say "installing ${packages[*]} with apt; no system service is started or enabled"
    guard_package_settings
    apt_install "${packages[@]}" >&2 || die "apt could not install ${packages[*]}"
    restore_package_settings
    disable_new_units
    find_postgres || [[ ${packages[*]} != *postgresql* ]] || die "PostgreSQL 14 to 18 is needed; found none"
    find_rabbitmq >/dev/null || [[ ${packages[*]} != *rabbitmq* ]] || die "found no RabbitMQ after installing it"
}

# may_install PACKAGE…: ends with what to do, unless this is a Debian of which we are root, or may become it unasked.
may_install() {
    local answer todo="install them (Debian, Ubuntu: sudo apt-get install $*), start Docker, or name running services"
    command -v apt-get >/dev/null || die "PostgreSQL 14 to 18 or RabbitMQ is missing here: $todo (see --help)"
    if [[ $(id -u) -ne 0 ]]; then
        sudo -n true 2>/dev/null || die "$* missing here, and installing needs root: $todo (see --help)"
        as_root=(sudo -n)
    fi
    if [[ -t 0 && -t 2 ]]; then
        read -r -p "services: $* missing here. Install with apt? [y/N] " answer
        [[ $answer == [yY]* ]] || die "not installed: $todo (see --help)"
    fi
    if [[ -e $policy_file ]] && "$policy_file" rabbitmq-server start >/dev/null 2>&1; then
        die "$policy_file lets packages start services; $todo (see --help)"
    fi
}

guard_package_settings() {
    enabled_before=$(enabled_units)
    settings_guarded=yes
    if [[ ! -e $policy_file ]]; then
        printf '#!/bin/sh\n# tenant-sync, while it installs packages\nexit 101\n' | "${as_root[@]}" tee "$policy_file" >/dev/null
        "${as_root[@]}" chmod 755 "$policy_file"
    fi
    "${as_root[@]}" mkdir -p "$cluster_settings_folder"
    echo 'create_main_cluster = false' | "${as_root[@]}" tee "$cluster_settings_file" >/dev/null
}

restore_package_settings() {
    [[ $settings_guarded == yes ]] || return 0
    settings_guarded=no
    if grep -qs 'tenant-sync, while it installs' "$policy_file"; then "${as_root[@]}" rm -f "$policy_file"; fi
    "${as_root[@]}" rm -f "$cluster_settings_file"
    "${as_root[@]}" rmdir -p "$cluster_settings_folder" 2>/dev/null || true
}

apt_install() {
    local install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
        apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@")
    # The lists of a fresh machine are empty or old: fetch them when the first attempt does not find a package.
    "${install[@]}" 2>/dev/null || { "${as_root[@]}" apt-get update -qq && "${install[@]}"; }
}

# The links by which systemd and sysvinit start services at boot.
enabled_units() {
    find /etc/systemd/system /etc/rc[2-5].d -type l 2>/dev/null |
        grep -E '/(S[0-9]+)?(postgresql|rabbitmq-server|epmd)(@[^/]*)?(\.[a-z]+)?$' | sort || true
}

disable_new_units() {
    local links
    mapfile -t links < <(comm -13 <(echo "$enabled_before") <(enabled_units))
    [[ ${#links[@]} -eq 0 ]] || "${as_root[@]}" rm -f "${links[@]}"
}
