//! One self-contained HTML page: style inline, no script, nothing fetched; readable on a phone, by day
//! and by night.

use crate::html::plot::escape;
use crate::text::table::Table;

const STYLE: &str = include_str!("html.css");

/// This is a page under construction.
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// Starts a page with its title as heading and a line below it.
    pub fn new(title: &str, subtitle: &str) -> Self {
        let body = format!("<h1>{}</h1>\n<p class=\"sub\">{}</p>\n", escape(title), escape(subtitle));
        Self { title: title.into(), body }
    }

    /// Adds a heading.
    pub fn heading(&mut self, text: &str) -> &mut Self {
        self.push(format!("<h2>{}</h2>", escape(text)))
    }

    /// Adds a paragraph of plain text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.push(format!("<p>{}</p>", escape(text)))
    }

    /// Adds notes that must be seen.
    pub fn warnings(&mut self, texts: &[String]) -> &mut Self {
        for text in texts {
            self.push(format!("<p class=\"warn\">{}</p>", escape(text)));
        }
        self
    }

    /// Adds large numbers with their captions, several in a row.
    pub fn tiles(&mut self, tiles: &[(String, String)]) -> &mut Self {
        let tile = |(value, caption): &(String, String)| {
            format!("<div class=\"tile\"><b>{}</b><span>{}</span></div>", escape(value), escape(caption))
        };
        self.push(format!("<div class=\"tiles\">{}</div>", tiles.iter().map(tile).collect::<String>()))
    }

    /// Adds a table, with numbers to the right.
    pub fn table(&mut self, table: &Table) -> &mut Self {
        let class = |i: usize| if table.numeric(i) { " class=\"num\"" } else { "" };
        let row = |cells: &[String], tag: &str| {
            let cell = |(i, text): (usize, &String)| format!("<{tag}{}>{}</{tag}>", class(i), escape(text));
            format!("<tr>{}</tr>", cells.iter().enumerate().map(cell).collect::<String>())
        };
        let head = row(&table.headings, "th");
        let rows: String = table.rows.iter().map(|r| row(r, "td")).collect();
        self.push(format!(
            "<div class=\"scroll\"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>"
        ))
    }

    /// Adds an SVG of [`crate::html::plot`].
    pub fn plot(&mut self, svg: &str, caption: &str) -> &mut Self {
        self.push(format!("<figure>{svg}<figcaption>{}</figcaption></figure>", escape(caption)))
    }

    /// Adds rows of small pictures: PNG files, each with the lines below it.
    #[cfg(feature = "photos")]
    pub fn pictures(&mut self, pictures: &[(Vec<u8>, Vec<String>)]) -> &mut Self {
        use base64::prelude::{BASE64_STANDARD, Engine};
        let one = |(png, lines): &(Vec<u8>, Vec<String>)| {
            let lines: Vec<_> = lines.iter().map(|line| escape(line)).collect();
            let (data, alt, caption) = (BASE64_STANDARD.encode(png), lines.join(", "), lines.join("<br>"));
            format!(
                "<figure><img alt=\"{alt}\" src=\"data:image/png;base64,{data}\"><figcaption>{caption}</figcaption></figure>"
            )
        };
        self.push(format!("<div class=\"sheet\">{}</div>", pictures.iter().map(one).collect::<String>()))
    }

    fn push(&mut self, html: String) -> &mut Self {
        self.body.push_str(&html);
        self.body.push('\n');
        self
    }

    /// Returns the whole file.
    pub fn finish(&self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>\n{STYLE}</style></head>\n\
             <body><main>\n{}</main></body></html>\n",
            escape(&self.title),
            self.body
        )
    }
}
