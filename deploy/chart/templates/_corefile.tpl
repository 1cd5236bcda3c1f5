{{- /* The Corefile, and what follows from it: ports and the addresses of the probes. */ -}}

{{- define "dunlin.corefile" -}}
{{- range $name, $directive := .Values.extraConfig }}
{{ $name }}{{ with $directive.parameters }} {{ . }}{{ end }}
{{- end }}
{{- range $server := .Values.servers }}
{{ range default (list (dict)) $server.zones }}{{ default "" .scheme }}{{ default "." .zone }}:{{ default 53 $server.port }} {{ end }}{
{{- range $server.plugins }}
    {{ .name }}{{ with .parameters }} {{ include "dunlin.inClusterDomain" (dict "root" $ "text" .) }}{{ end }}{{ with .configBlock }} {
{{ . | trim | indent 8 }}
    }{{ end }}
{{- end }}
}
{{- end }}
{{- end -}}

{{- /* root text: a text that names cluster.local, with global.clusterDomain in its place */ -}}
{{- define "dunlin.inClusterDomain" -}}
{{- $global := default (dict) .root.Values.global -}}
{{- regexReplaceAll "(^|\\s)cluster\\.local\\.?(\\s|$)" (toString .text) (printf "${1}%s${2}" (default "cluster.local" $global.clusterDomain)) -}}
{{- end -}}

{{- /* port parameters default: what stands behind the last colon of an address */ -}}
{{- define "dunlin.port" -}}
{{- $address := index (splitList " " (trim (toString (default "" .parameters)))) 0 -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $address) -}}
{{- default .default $port -}}
{{- end -}}

{{- /* plugin root name: the first one of that name, as JSON; an empty object where there is none */ -}}
{{- define "dunlin.plugin" -}}
{{- $found := dict -}}
{{- range $server := .root.Values.servers -}}
{{- range $server.plugins -}}
{{- if and (eq .name $.name) (not $found) -}}{{- $found = . -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- /* Ports by name, as JSON. Schemes over TLS and HTTP are TCP alone, doq and h3 UDP alone. */ -}}
{{- define "dunlin.ports" -}}
{{- $ports := dict -}}
{{- range $server := .Values.servers -}}
{{- $port := int (default 53 $server.port) -}}
{{- range default (list (dict)) $server.zones -}}
{{- $scheme := default "dns://" .scheme -}}
{{- $protocols := list -}}
{{- if has $scheme (list "tls://" "https://" "grpc://") -}}{{- $protocols = list "tcp" -}}
{{- else if has $scheme (list "quic://" "https3://") -}}{{- $protocols = list "udp" -}}
{{- else -}}{{- $protocols = list "udp" -}}
{{- if ne (toString .use_tcp) "false" -}}{{- $protocols = list "udp" "tcp" -}}{{- end -}}
{{- end -}}
{{- range $protocol := $protocols -}}
{{- $name := printf "%s-%d" $protocol $port -}}
{{- $one := dict "name" $name "protocol" (upper $protocol) "containerPort" $port "servicePort" (int (default $port $server.servicePort)) -}}
{{- if $server.nodePort -}}{{- $_ := set $one "nodePort" (int $server.nodePort) -}}{{- end -}}
{{- if $server.hostPort -}}{{- $_ := set $one "hostPort" (int $server.hostPort) -}}{{- end -}}
{{- $_ := set $ports $name $one -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $ports -}}
{{- end -}}

{{- define "dunlin.metricsPort" -}}
{{- $plugin := include "dunlin.plugin" (dict "root" . "name" "prometheus") | fromJson -}}
{{- include "dunlin.port" (dict "parameters" $plugin.parameters "default" "9153") -}}
{{- end -}}

{{- /* probe root name plugin path default: a probe of the pod, from its values and the address that the plugin has */ -}}
{{- define "dunlin.probe" -}}
{{- $plugin := include "dunlin.plugin" (dict "root" .root "name" .plugin) | fromJson -}}
{{- if and (not $plugin) (not .root.Values.deployment.skipConfig) -}}
{{- fail (printf "%s asks the plugin %s, which no server in servers[] has: add it, or set %s.enabled to false" .name .plugin .name) -}}
{{- end -}}
{{- $probe := omit (index .root.Values .name) "enabled" -}}
{{- $port := include "dunlin.port" (dict "parameters" $plugin.parameters "default" .default) -}}
{{- $probe = set $probe "httpGet" (dict "path" .path "port" (int $port) "scheme" "HTTP") -}}
{{- toYaml $probe -}}
{{- end -}}
