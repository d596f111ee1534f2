/** By what they are for, one line each. */
const ofDebian = `
nginx apache2 lighttpd haproxy varnish squid curl wget w3m lynx firefox-esr chromium epiphany-browser
postgresql mariadb-server sqlite3 redis-server memcached pgbouncer postgis adminer sqlitebrowser
vim emacs nano neovim joe gedit kate mousepad geany
gimp inkscape imagemagick krita darktable digikam shotwell gthumb blender scribus graphviz dia optipng jpegoptim feh tesseract-ocr gnuplot
ffmpeg vlc mpv kdenlive openshot-qt obs-studio handbrake shotcut
audacity ardour lame flac sox mpd ncmpcpp moc rhythmbox clementine timidity mpg123 vorbis-tools lilypond musescore3
zip unzip p7zip-full xz-utils gzip bzip2 zstd tar rsync htop tmux screen tree ripgrep fd-find fzf jq mc ranger ncdu parallel pv lsof strace gdb valgrind
cron ansible puppet docker.io lxc sudo apt aptitude logrotate rsyslog fail2ban ufw iptables nftables
borgbackup restic duplicity deja-dup timeshift testdisk gparted parted smartmontools lvm2 mdadm cryptsetup clamav rkhunter john hashcat
openssh-server openssh-client openvpn wireguard nmap tcpdump wireshark netcat-openbsd mtr traceroute iperf3 dnsmasq bind9 isc-dhcp-server hostapd tor
transmission-gtk qbittorrent filezilla vsftpd samba nfs-kernel-server rclone sshfs mosh hexchat irssi weechat pidgin
postfix exim4 dovecot-imapd thunderbird mutt spamassassin mailman3 evolution claws-mail
pandoc texlive-latex-base libreoffice-writer libreoffice-calc abiword gnumeric aspell hunspell poppler-utils qpdf pdftk-java ghostscript evince okular calibre
goldendict html2text asciidoctor xmlstarlet groff dos2unix colordiff
git subversion mercurial gitk tig git-lfs cvs
gcc clang cmake make autoconf python3 python3-numpy python3-requests python3-django python3-flask python3-pandas python3-matplotlib python3-scipy
ruby nodejs npm php-cli perl golang-go rustc cargo default-jdk maven gradle lua5.4 ghc ocaml r-base octave maxima scilab doxygen
gnuchess stockfish gnome-chess nethack-console 0ad freeciv supertux wesnoth bastet aisleriot gnome-sudoku frozen-bubble minetest
stellarium gcompris-qt kalzium qgis gpsbabel gpsd josm marble
gnupg keepassxc pass openssl certbot redshift xscreensaver conky-all cowsay fortune-mod figlet qrencode zbar-tools bc gcal remind taskwarrior ledger gnucash homebank anki
wine qemu-system-x86 virt-manager fonts-dejavu fonts-noto-cjk fonts-ipafont-gothic i3 xfce4 gnome-terminal xterm rofi
orca espeak-ng festival brltty brasero k3b cups simple-scan sane-utils newsboat liferea akregator pwgen apg
`;

const ofNpm = `
ajv bullmq chalk cli-progress commander cookie csv-parse debug fast-check lru-cache mime minimatch openai playwright-core prom-client
rate-limiter-flexible semver typescript vite vitest
`;

const namesIn = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Ids of documents of packages that people know and ask for. */
export const knownPackages: ReadonlySet<string> = new Set([
  ...namesIn(ofDebian).map((name) => `debian:${name}`),
  ...namesIn(ofNpm).map((name) => `npm:${name}`),
]);
