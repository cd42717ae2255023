//! The page itself: one file that needs no server, beside its pictures.

use std::fmt::Write;

use serde_json::Value;

use super::{Figure, Source, Table};

const STYLE: &str = "body{font:15px/1.4 sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}\
     figure{margin:2em 0}figcaption{color:#555;max-width:60em}img{max-width:100%}\
     table{border-collapse:collapse;margin:1em 0 2em;font-size:13px}\
     th,td{border-bottom:1px solid #ddd;padding:3px 10px 3px 0;text-align:left;vertical-align:top}";

/// The page with these pictures and tables.
pub fn page(sources: &[Source], figures: &[Figure], tables: &[Table]) -> String {
    let mut page = String::new();
    write(&mut page, sources, figures, tables).expect("there is always room in a string");
    page
}

fn write(
    page: &mut String,
    sources: &[Source],
    figures: &[Figure],
    tables: &[Table],
) -> std::fmt::Result {
    writeln!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>skiff: results</title>\n\
         <style>{STYLE}</style>\n<h1>skiff: what was measured</h1>"
    )?;
    write_sources(page, sources)?;
    for figure in figures {
        let Figure {
            name,
            picture,
            remark,
        } = figure;
        let (title, remark) = (escaped(&picture.title), escaped(remark));
        writeln!(
            page,
            "<figure><img src=\"{name}.svg\" alt=\"{title}\"><figcaption>{remark} \
             <a href=\"{name}.png\">PNG</a></figcaption></figure>"
        )?;
    }
    for table in tables {
        write_table(page, table)?;
    }
    writeln!(page, "</html>")
}

/// Which benchmarks were run, on what, and what they left out.
fn write_sources(page: &mut String, sources: &[Source]) -> std::fmt::Result {
    writeln!(page, "<ul>")?;
    for Source { benchmark, results } in sources {
        let name = benchmark.name();
        let Some(results) = results else {
            writeln!(
                page,
                "<li>{name}: not measured (<code>make bench-{name}</code>)</li>"
            )?;
            continue;
        };
        let machine = &results["machine"];
        let on =
            [&machine["processor"], &machine["kernel"]].map(|part| part.as_str().unwrap_or(""));
        let on = escaped(on.join(" ").trim());
        writeln!(
            page,
            "<li>{name}: <a href=\"{name}.json\">{name}.json</a> {on}</li>"
        )?;
        let skipped = results["skipped"].as_array().into_iter().flatten();
        for skipped in skipped {
            let part = |key: &str| escaped(skipped[key].as_str().unwrap_or(""));
            writeln!(
                page,
                "<li>{name} left out {}: {}</li>",
                part("what"),
                part("reason")
            )?;
        }
        if results["interrupted"] == Value::Bool(true) {
            writeln!(
                page,
                "<li>{name} was interrupted: it shows what there was</li>"
            )?;
        }
    }
    writeln!(page, "</ul>")
}

fn write_table(page: &mut String, table: &Table) -> std::fmt::Result {
    let Table { title, heads, rows } = table;
    writeln!(page, "<h2>{}</h2>\n<table><tr>", escaped(title))?;
    for head in heads {
        write!(page, "<th>{}</th>", escaped(head))?;
    }
    writeln!(page, "</tr>")?;
    for row in rows {
        write!(page, "<tr>")?;
        for cell in row {
            write!(page, "<td>{}</td>", escaped(cell))?;
        }
        writeln!(page, "</tr>")?;
    }
    writeln!(page, "</table>")
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}
